// Agreement against cost, one point per threshold, with its interval; the operating point is dragged.

import { shape } from "./dom.js";

const HEIGHT = 340;
const EDGE = { top: 16, right: 18, bottom: 44, left: 62 };
const NICE = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];

/**
 * A plane in `host`. `pick(index)` is called while a point is dragged or clicked.
 * Returns draw({points: [{x, y, low, high}], chosen, inForce, goal, showX, xTitle}): y, low, high
 * are shares, `goal` a share or null, `inForce` an index or null.
 */
export function createPlane(host, pick) {
  let state = null;
  let width = 0;
  let places = [];

  function draw() {
    width = host.clientWidth;
    if (!width || !state) return;
    const { points, chosen, inForce, goal } = state;
    const top = Math.max(...points.map((point) => point.x)) || 1;
    const { floor, step } = gridOf([...points.map((point) => point.low), goal ?? 1]);
    const x = (value) => EDGE.left + ((width - EDGE.left - EDGE.right) * value) / (top * 1.04);
    const y = (value) => EDGE.top + (HEIGHT - EDGE.top - EDGE.bottom) * (1 - (Math.max(value, floor) - floor) / (1 - floor));
    places = points.map((point) => [x(point.x), y(point.y)]);
    const svg = shape("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" });
    drawAxes(svg, x, y, floor, step, top);
    const upper = points.map((point) => [x(point.x), y(point.high)]);
    const lower = points.map((point) => [x(point.x), y(point.low)]).reverse();
    svg.append(shape("path", { class: "band", d: `M${join([...upper, ...lower])}Z` }));
    if (goal !== null) {
      svg.append(shape("line", { class: "goal", x1: EDGE.left, x2: width - EDGE.right, y1: y(goal), y2: y(goal) }));
      svg.append(shape("text", { class: "tick", x: width - EDGE.right, y: y(goal) - 5, "text-anchor": "end" }, `promise ${percent(goal)}`));
    }
    svg.append(shape("path", { class: "line cost", d: `M${join(places)}` }));
    for (const [px, py] of places) svg.append(shape("circle", { class: "dot", cx: px, cy: py, r: 2.5 }));
    if (inForce !== null) drawInForce(svg, places[inForce]);
    drawHandle(svg, points[chosen], places[chosen], x, y);
    host.replaceChildren(svg);
  }

  function drawAxes(svg, x, y, floor, step, top) {
    for (let share = 1; share >= floor - 1e-9; share -= step) {
      const at = Math.round(y(share)) + 0.5;
      svg.append(shape("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at }));
      svg.append(shape("text", { class: "tick", x: EDGE.left - 8, y: at + 4, "text-anchor": "end" }, percent(share)));
    }
    const wanted = Math.max(2, Math.floor(width / 150));
    for (let i = 0; i <= wanted; i += 1) {
      const value = (top * i) / wanted;
      const anchor = i === wanted ? "end" : i ? "middle" : "start";
      svg.append(shape("text", { class: "tick", x: x(value), y: HEIGHT - 24, "text-anchor": anchor }, state.showX(value)));
    }
    svg.append(shape("line", { class: "base", x1: EDGE.left, x2: width - EDGE.right, y1: HEIGHT - EDGE.bottom + 0.5, y2: HEIGHT - EDGE.bottom + 0.5 }));
    svg.append(shape("text", { class: "tick", x: (EDGE.left + width - EDGE.right) / 2, y: HEIGHT - 5, "text-anchor": "middle" }, state.xTitle));
  }

  function drawInForce(svg, [px, py]) {
    svg.append(shape("circle", { class: "in-force", cx: px, cy: py, r: 6 }));
    const at = Math.min(Math.max(px, EDGE.left + 30), width - EDGE.right - 30);
    svg.append(shape("text", { class: "tick strong", x: at, y: Math.min(py + 24, HEIGHT - EDGE.bottom - 8), "text-anchor": "middle" }, "in force"));
  }

  function drawHandle(svg, point, [px, py], x, y) {
    svg.append(shape("line", { class: "whisker", x1: px, x2: px, y1: y(point.low), y2: y(point.high) }));
    svg.append(shape("line", { class: "drop", x1: px, x2: px, y1: py, y2: HEIGHT - EDGE.bottom }));
    svg.append(shape("circle", { class: "handle", cx: px, cy: py, r: 9 }));
  }

  function pickAt(event) {
    const box = host.getBoundingClientRect();
    const at = [event.clientX - box.left, event.clientY - box.top];
    // By cost alone: agreement differs by less than a hand can aim.
    const distance = ([px, py]) => Math.abs(px - at[0]) + 0.05 * Math.abs(py - at[1]);
    pick(places.reduce((best, place, i) => (distance(place) < distance(places[best]) ? i : best), 0));
  }

  let dragging = false;
  host.addEventListener("pointerdown", (event) => {
    if (!places.length) return;
    dragging = true;
    host.setPointerCapture(event.pointerId);
    event.preventDefault();
    pickAt(event);
  });
  host.addEventListener("pointermove", (event) => dragging && pickAt(event));
  for (const end of ["pointerup", "pointercancel"]) host.addEventListener(end, () => (dragging = false));
  new ResizeObserver(() => host.clientWidth !== width && draw()).observe(host);

  return (fresh) => {
    state = fresh;
    draw();
  };
}

export const join = (points) => points.map(([px, py]) => `${px.toFixed(1)},${py.toFixed(1)}`).join("L");

export function percent(share) {
  return `${Number((100 * share).toFixed(2))} %`;
}

/** A round share a little below all of these, and the step of about six lines from there to 1. */
export function gridOf(shares) {
  const span = Math.max(0.01, 1 - Math.min(...shares));
  const round = NICE.find((size) => size >= span / 5) ?? 1;
  const floor = Math.max(0, 1 - round * Math.ceil(span / round - 1e-9));
  return { floor, step: NICE.find((size) => (1 - floor) / size <= 6) ?? 1 };
}
