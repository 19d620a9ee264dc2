// What the last cycle's student learned: its learning curve, and the requests that it gets wrong.

import { el, shape } from "./dom.js";
import { showCount, showShare, showTime } from "./format.js";
import { gridOf, join, percent } from "./plane.js";
import { createTable } from "./table.js";

const SIZE = { width: 460, height: 230 };
const EDGE = { top: 14, right: 18, bottom: 40, left: 56 };

/** One workload's section, from an entry of admin/v1/learned. */
export function showLearned(learned) {
  return el(
    "article",
    { class: "learned", data: { workload: learned.workload } },
    el("h3", { text: `${learned.workload}, ${showTime(learned.ended_at)}` }),
    el("div", { class: "pair" }, showCurve(learned), showFailures(learned.clusters)),
  );
}

function showCurve({ workload, curve, earlier }) {
  const rows = [
    ...earlier.map((point) => ({ ...point, what: "an earlier cycle, all" })),
    ...curve.slice(0, -1).map((point) => ({ ...point, what: "a part" })),
    { ...curve.at(-1), what: "all" },
  ];
  const table = el("div", { class: "table" });
  createTable(table, {
    caption: `Learning curve of ${workload}`,
    nothing: "",
    columns: [
      { title: "Questions", look: "number", cell: (row) => showCount(row.questions) },
      { title: "Agreement", look: "number", cell: (row) => ({ text: showShare(row.agreement), kind: "strong" }) },
      { title: "95 % interval", look: "number", cell: (row) => `${showShare(row.low)} to ${showShare(row.high)}` },
      { title: "Learned from", cell: (row) => row.what },
    ],
  })(rows);
  return el(
    "section",
    {},
    el("h4", { text: "Agreement by questions learned from" }),
    el("p", { class: "faint", text: "Drafts by a student that hadn't seen the question, compared with the teacher's answers." }),
    drawCurve(curve, earlier),
    table,
  );
}

/** The table below says the same, so it is hidden from those who read that. */
function drawCurve(curve, earlier) {
  const { width, height } = SIZE;
  const all = [...earlier, ...curve];
  const most = Math.max(...all.map((point) => point.questions));
  const { floor, step } = gridOf(all.map((point) => point.low));
  const x = (questions) => EDGE.left + ((width - EDGE.left - EDGE.right) * questions) / most;
  const y = (share) => EDGE.top + (height - EDGE.top - EDGE.bottom) * (1 - (share - floor) / (1 - floor));
  const svg = shape("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  for (let share = 1; share >= floor - 1e-9; share -= step) {
    const at = Math.round(y(share)) + 0.5;
    svg.append(shape("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at }));
    svg.append(shape("text", { class: "tick", x: EDGE.left - 8, y: at + 4, "text-anchor": "end" }, percent(share)));
  }
  for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
    const questions = Math.round(most * share);
    svg.append(shape("text", { class: "tick", x: x(questions), y: height - 22, "text-anchor": anchor }, showCount(questions)));
  }
  svg.append(shape("text", { class: "tick", x: x(most / 2), y: height - 5, "text-anchor": "middle" }, "questions learned from"));
  for (const point of earlier) svg.append(shape("circle", { class: "before", cx: x(point.questions), cy: y(point.agreement), r: 4 }));
  for (const point of curve) svg.append(shape("line", { class: "whisker", x1: x(point.questions), x2: x(point.questions), y1: y(point.low), y2: y(point.high) }));
  svg.append(shape("path", { class: "line cost", d: `M${join(curve.map((point) => [x(point.questions), y(point.agreement)]))}` }));
  for (const point of curve) svg.append(shape("circle", { class: "dot", cx: x(point.questions), cy: y(point.agreement), r: 4 }));
  return svg;
}

function showFailures(clusters) {
  const told = clusters.length ? el("ol", { class: "failures" }, ...clusters.map(showCluster)) : el("p", { class: "faint", text: "No draft disagreed with the teacher." });
  return el("section", {}, el("h4", { text: "Where it fails" }), told);
}

function showCluster(cluster) {
  const questions = cluster.questions === 1 ? "1 question" : `${showCount(cluster.questions)} questions`;
  const examples = cluster.examples.map((one) => el("li", {}, el("a", { href: `#/interactions/${encodeURIComponent(one.id)}`, text: one.text })));
  return el(
    "li",
    {},
    el("p", {}, el("strong", { text: cluster.teacher }), " drafted as ", el("strong", { text: cluster.draft })),
    el("p", { class: "faint", text: `${questions}, ${showShare(cluster.share)} of all traffic; ${showShare(cluster.confusion_share, 0)} of them so confused. Of what is asked there, ${showShare(cluster.precision, 0)} fails.` }),
    examples.length ? el("ul", {}, ...examples) : el("p", { class: "faint", text: "Its questions were erased." }),
  );
}
