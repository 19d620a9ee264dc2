// Charts over consecutive slices of interactions, as SVG. The plot is a slider: pointer or arrow
// keys choose a slice, and the legend then reads that slice instead of the total.

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220;
const TOP = 10;
const BOTTOM = 26;
const RIGHT = 10;
const DIGIT_PX = 7.4;

function shape(name, attributes, text) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Round numbers from 0 to at least `top`, about `wanted` steps. */
export function ticksUpTo(top, wanted) {
  const raw = top / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
  const ticks = [];
  for (let i = 0; i === 0 || ticks[i - 1] < top * 0.999; i += 1) ticks.push(step * i);
  return { step, ticks };
}

/**
 * A chart in `figure`.
 * keys: [{id, label}]; stacked: areas that add up to 1, else lines; showTick(value, step).
 * Returns draw({slices: [{from, to, when, values, texts}], totals: {id: text}, hidden: Set}),
 * where values[id] is a number or null (unknown: a gap).
 */
export function createChart(figure, { keys, stacked, label, showTick }) {
  const legend = document.createElement("ul");
  legend.className = "legend";
  const readings = new Map();
  for (const key of keys) {
    const item = document.createElement("li");
    const swatch = document.createElement("span");
    swatch.className = `swatch ${stacked ? "area" : "line"} ${key.id}`;
    const name = document.createElement("span");
    name.textContent = key.label;
    // No <output>: that would be read out at every refresh.
    const reading = document.createElement("b");
    item.append(swatch, name, reading);
    legend.append(item);
    readings.set(key.id, { item, reading });
  }
  const where = document.createElement("p");
  where.className = "where";
  const plot = document.createElement("div");
  plot.className = "plot";
  plot.tabIndex = 0;
  plot.setAttribute("role", "slider");
  plot.setAttribute("aria-label", `${label}: slice of interactions`);
  figure.append(legend, plot, where);

  let data = { slices: [], totals: {}, hidden: new Set() };
  let chosen = null;
  let cursor = null;
  let width = 0;

  const total = () => (data.slices.length ? data.slices.at(-1).to : 0);
  const left = () => frame().left;

  function frame() {
    const values = data.slices.flatMap((s) => keys.map((key) => s.values[key.id] ?? 0));
    const top = stacked ? 1 : Math.max(...values, 0) || 1;
    const { step, ticks } = stacked ? { step: 0.25, ticks: [0, 0.25, 0.5, 0.75, 1] } : ticksUpTo(top, 4);
    const names = ticks.map((tick) => showTick(tick, step));
    return { ticks, names, left: 10 + DIGIT_PX * Math.max(...names.map((n) => n.length)), top: ticks.at(-1) };
  }

  function read() {
    const slice = chosen === null ? null : data.slices[chosen];
    for (const key of keys) {
      const { item, reading } = readings.get(key.id);
      item.hidden = data.hidden.has(key.id);
      const text = slice ? slice.texts[key.id] : data.totals[key.id];
      if (reading.textContent !== text) reading.textContent = text;
    }
    const text = slice ? nameSpan(slice, slice) : nameSpan(data.slices[0], data.slices.at(-1));
    if (where.textContent !== text) where.textContent = text;
    const shown = keys.filter((key) => !data.hidden.has(key.id));
    const said = shown.map((key) => `${key.label} ${slice ? slice.texts[key.id] : data.totals[key.id]}`);
    plot.setAttribute("aria-valuemin", "0");
    plot.setAttribute("aria-valuemax", String(data.slices.length));
    plot.setAttribute("aria-valuenow", String(chosen === null ? 0 : chosen + 1));
    plot.setAttribute("aria-valuetext", `${slice ? text : "In total"}: ${said.join(", ")}`);
  }

  const sameDay = (first, last) => first.when[0].slice(0, 10) === last.when[1].slice(0, 10);

  function nameSpan(first, last) {
    if (!first) return "";
    return `Interactions ${first.from}–${last.to}: ${first.when[0]} to ${sameDay(first, last) ? last.when[1].slice(11) : last.when[1]}`;
  }

  function draw() {
    width = plot.clientWidth;
    if (!width || !data.slices.length) {
      plot.replaceChildren();
      return;
    }
    const axis = frame();
    const x = (n) => axis.left + ((width - axis.left - RIGHT) * n) / total();
    const y = (v) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - v / axis.top);
    const svg = shape("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
    axis.ticks.forEach((tick, i) => {
      const at = Math.round(y(tick)) + 0.5;
      const kind = i ? "grid" : "base";
      svg.append(shape("line", { class: kind, x1: axis.left, x2: width - RIGHT, y1: at, y2: at }));
      svg.append(shape("text", { class: "tick", x: axis.left - 8, y: at + 4, "text-anchor": "end" }, axis.names[i]));
    });
    const across = ticksUpTo(total(), Math.max(2, Math.floor(width / 130)));
    for (const tick of across.ticks) {
      if (tick > total() || !Number.isInteger(tick)) continue;
      const anchor = x(tick) > width - 30 ? "end" : tick ? "middle" : "start";
      const at = anchor === "end" ? width - RIGHT : x(tick);
      svg.append(shape("text", { class: "tick", x: at, y: HEIGHT - 8, "text-anchor": anchor }, tick.toLocaleString("en-US")));
    }
    svg.append(...(stacked ? areas(x, y) : lines(x, y)));
    cursor = shape("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM, x1: 0, x2: 0, visibility: "hidden" });
    svg.append(cursor);
    plot.replaceChildren(svg);
    point();
  }

  const middle = (slice) => (slice.from - 1 + slice.to) / 2;

  /** A value holds for its whole slice, so the first and last reach to the edges. */
  function path(x, y, run) {
    const points = run.map(([slice, value]) => [x(middle(slice)), y(value)]);
    points.unshift([x(run[0][0].from - 1), points[0][1]]);
    points.push([x(run.at(-1)[0].to), points.at(-1)[1]]);
    return points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`);
  }

  function lines(x, y) {
    const drawn = [];
    for (const key of keys) {
      const runs = [[]];
      for (const slice of data.slices) {
        const value = slice.values[key.id];
        if (value === null || value === undefined) runs.push([]);
        else runs.at(-1).push([slice, value]);
      }
      for (const run of runs.filter((one) => one.length)) {
        drawn.push(shape("path", { class: `line ${key.id}`, d: `M${path(x, y, run).join("L")}` }));
      }
    }
    return drawn.reverse();
  }

  function areas(x, y) {
    let below = data.slices.map(() => 0);
    return keys.filter((key) => !data.hidden.has(key.id)).map((key) => {
      const above = data.slices.map((slice, i) => below[i] + (slice.values[key.id] ?? 0));
      const upper = path(x, y, data.slices.map((slice, i) => [slice, above[i]]));
      const lower = path(x, y, data.slices.map((slice, i) => [slice, below[i]])).reverse();
      below = above;
      return shape("path", { class: `area ${key.id}`, d: `M${[...upper, ...lower].join("L")}Z` });
    });
  }

  function point() {
    if (chosen !== null && chosen >= data.slices.length) chosen = null;
    read();
    if (!cursor) return;
    cursor.setAttribute("visibility", chosen === null ? "hidden" : "visible");
    if (chosen === null) return;
    const at = left() + ((width - left() - RIGHT) * middle(data.slices[chosen])) / total();
    cursor.setAttribute("x1", at.toFixed(1));
    cursor.setAttribute("x2", at.toFixed(1));
  }

  function choose(index) {
    chosen = index;
    point();
  }

  plot.addEventListener("pointermove", (event) => {
    if (!data.slices.length) return;
    const at = event.clientX - plot.getBoundingClientRect().left - left();
    const n = (at / (width - left() - RIGHT)) * total();
    const found = data.slices.findIndex((slice) => n <= slice.to);
    choose(n < 0 ? 0 : found < 0 ? data.slices.length - 1 : found);
  });
  plot.addEventListener("pointerleave", () => choose(null));
  plot.addEventListener("blur", () => choose(null));
  plot.addEventListener("keydown", (event) => {
    const last = data.slices.length - 1;
    if (last < 0) return;
    const moves = {
      ArrowLeft: chosen === null ? last : Math.max(0, chosen - 1),
      ArrowRight: chosen === null ? 0 : Math.min(last, chosen + 1),
      Home: 0,
      End: last,
      Escape: null,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    choose(moves[event.key]);
  });
  new ResizeObserver(() => {
    if (plot.clientWidth !== width) draw();
  }).observe(plot);

  return (fresh) => {
    data = fresh;
    draw();
    read();
  };
}
