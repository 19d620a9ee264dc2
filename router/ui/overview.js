// Overview: what interactions cost, who answered them, and how well.

import { createChart } from "./chart.js";
import {
  alignMoney, showBound, showClock, showConfidence, showCount, showDuration, showLatency, showMoney,
  showShare, showTime, showTick, showTruth,
} from "./format.js";
import { ask, toQuery } from "./net.js";
import { createTable } from "./table.js";

const TIERS = [
  { id: "student", label: "Student" },
  { id: "recall", label: "Recall" },
  { id: "teacher", label: "Teacher" },
];

const byId = (id) => document.getElementById(id);
const host = (name) => document.querySelector(`[data-table="${name}"]`);

function setText(id, text) {
  const node = byId(id);
  if (node.textContent !== text) node.textContent = text;
}

// ---- tables -----------------------------------------------------------------------------------

const tierCell = (tier) => ({ text: tier, kind: `tier ${tier}` });
const truthCell = (value) => ({ text: showTruth(value), kind: value === null ? "faint" : "" });
// A draft that is not served may be wrong; an answer that was delivered should not be.
const agreedCell = (value) => (value === false ? { text: "no", kind: "bad" } : truthCell(value));
const nameCell = (row) => ({ text: row.workload, hint: row.workload });
const clockCell = (at) => ({ text: showClock(at), hint: showTime(at) });
const minuteCell = (at) => ({ text: showTime(at).slice(0, 16), hint: showTime(at) });

const modeCell = (row) => ({
  text: row.mode,
  hint: row.promise?.outlook?.sentence,
  kind: row.serving ? "badge serving" : "badge",
});

const standings = createTable(host("standings"), {
  caption: "What each workload promises, and what is proven",
  nothing: "No workload is configured: the teacher answers everything.",
  columns: [
    { title: "Workload", look: "name", cell: (row) => ({ ...nameCell(row), kind: "strong" }) },
    { title: "Mode", look: "wide", cell: (row) => modeCell(row) },
    { title: "Promise", look: "wide", cell: (row) => (row.promise ? describePromise(row.promise) : "none") },
    { title: "Estimated", look: "number", cell: (row) => describeEstimate(row) },
    { title: "Proven lower bound", look: "number", cell: (row) => describeBound(row) },
    { title: "Cost each", look: "number", cell: (row) => describeCost(row) },
  ],
});

function describeEstimate({ estimate, promise, slice }) {
  const found = slice === null && estimate ? estimate[promise?.over ?? "all"] : null;
  if (!found) return { text: slice === null ? "not measured" : "–", kind: "faint" };
  const text = showShare(found.estimate);
  return found.low === found.high ? text : { text, more: `${showShare(found.low)} to ${showShare(found.high)}` };
}

function describeCost({ target, cost_each: cost, slice }) {
  if (slice !== null) return { text: "–", kind: "faint" };
  const missed = target && cost && Number(cost.usd) > Number(target.usd);
  return { text: showMoney(cost), kind: missed ? "bad" : "", more: target ? `target ${target.text}` : "" };
}

function describePromise(promise) {
  const over = promise.over === "all" ? "all answers" : "the student's answers";
  const least = showShare(promise.agreement ?? promise.accuracy, 1).replace(".0 %", " %");
  const sure = showShare(promise.confidence, 1).replace(".0 %", " %");
  const claim = promise.accuracy === undefined ? "agree" : "are right by verdicts";
  return `at least ${least} of ${over} ${claim}, at ${sure} confidence`;
}

function describeBound({ promise, serving }) {
  if (!promise) return { text: "–", kind: "faint" };
  const counted = `${showCount(promise.trials)} interactions`;
  if (!serving) {
    const evidence = `${Math.floor(100 * promise.progress)} % of the evidence`;
    return { text: evidence, kind: "faint", hint: "Gathered so far, of what the strictest level needs", more: counted };
  }
  const kept = promise.lower_bound >= (promise.agreement ?? promise.accuracy) - 1e-9;
  return { text: showBound(promise.lower_bound), kind: kept ? "strong" : "bad", more: counted };
}

const quantiles = (of, name) => (of === null ? { text: "–", kind: "faint" } : showLatency(of[name]));

const tiers = createTable(host("tiers"), {
  caption: "Share and latency by tier",
  nothing: "Nothing was answered yet.",
  columns: [
    { title: "Tier", cell: (row) => tierCell(row.tier) },
    { title: "Share", look: "number", cell: (row) => showShare(row.share) },
    { title: "Latency p50", look: "number", cell: (row) => quantiles(row.whole, "p50") },
    { title: "Latency p95", look: "number", cell: (row) => quantiles(row.whole, "p95") },
    { title: "First token p50", look: "number", cell: (row) => quantiles(row.first_token, "p50") },
    { title: "First token p95", look: "number", cell: (row) => quantiles(row.first_token, "p95") },
  ],
});

const alarms = createTable(host("alarms"), {
  caption: "Alarms of the watch, newest first",
  nothing: "None so far: the watch has found no change in agreement, requests, drafts or the teacher's version.",
  columns: [
    { title: "Raised", cell: (row) => minuteCell(row.at) },
    { title: "Workload", look: "name", cell: nameCell },
    { title: "What changed", look: "wide", cell: (row) => row.text },
    { title: "Ended", cell: (row) => (row.ended_at === null ? { text: "tightened", kind: "bad" } : minuteCell(row.ended_at)) },
  ],
});

const releases = createTable(host("releases"), {
  caption: "Releases, newest first",
  nothing: "No release yet. One is trained once enough of the teacher's answers are recorded.",
  columns: [
    { title: "Workload", look: "name", cell: nameCell },
    { title: "No.", look: "number", cell: (row) => String(row.number) },
    { title: "Digest", cell: (row) => ({ text: row.digest.slice(0, 12), hint: row.digest, kind: "mono" }) },
    { title: "State", cell: (row) => ({ text: row.state, kind: row.state === "active" ? "badge serving" : "badge" }) },
    { title: "Promoted", cell: (row) => minuteCell(row.promoted_at) },
    { title: "Why", look: "wide", cell: (row) => row.why ?? "–" },
  ],
});

const cycles = createTable(host("cycles"), {
  caption: "Learning cycles, newest first",
  nothing: "No cycle yet: tutelage distill watch runs them.",
  columns: [
    { title: "Workload", look: "name", cell: nameCell },
    { title: "Began", cell: (row) => minuteCell(row.started_at) },
    { title: "Took", look: "number", cell: (row) => (row.ended_at === null ? "–" : showDuration(row.ended_at - row.started_at)) },
    { title: "Answers", look: "number", cell: (row) => showCount(row.answers_seen) },
    { title: "Outcome", cell: (row) => ({ text: row.outcome ?? "running", kind: "strong" }) },
    { title: "Detail", look: "wide", cell: (row) => row.detail || "–" },
  ],
});

const latest = createTable(host("latest"), {
  caption: "Latest interactions, newest first",
  nothing: "No interaction yet.",
  columns: [
    { title: "Time", cell: (row) => ({ ...clockCell(row.at), link: `#/interactions/${encodeURIComponent(row.id)}` }) },
    { title: "Workload", look: "name", cell: nameCell },
    { title: "Request", look: "line", cell: (row) => ({ text: row.text || "–", hint: row.text ?? "" }) },
    { title: "Tier", cell: (row) => tierCell(row.tier) },
    {
      title: "Reason",
      look: "short",
      cell: (row) => (row.status === "ok" ? { text: row.reason, hint: row.reason } : { text: `${row.reason}, ${row.status}`, kind: "bad" }),
    },
    { title: "Confidence", look: "number", cell: (row) => showConfidence(row.confidence, row.threshold) },
    { title: "Cost", look: "number", cell: (row, i, rows) => alignMoney(rows.map((one) => one.cost))[i] },
    { title: "Latency", look: "number", cell: (row) => showLatency(row.latency_ms) },
    { title: "Agreed", cell: (row) => agreedCell(row.agreed) },
    { title: "Draft agreed", cell: (row) => truthCell(row.draft_agreed) },
  ],
});

const slices = createTable(host("slices"), {
  caption: "Consecutive slices of equally many interactions, oldest first",
  nothing: "No interaction yet.",
  columns: [
    { title: "Interactions", look: "number", cell: (row) => `${showCount(row.from)}–${showCount(row.to)}` },
    { title: "From", cell: (row) => row.when[0] },
    { title: "Cost each", look: "number", cell: (row) => row.texts.cost },
    { title: "Teacher's cost each", look: "number", cell: (row) => row.texts.baseline },
    ...TIERS.map((tier) => ({ title: tier.label, look: "number", cell: (row) => row.texts[tier.id] })),
  ],
});

// ---- charts -----------------------------------------------------------------------------------

const drawCost = createChart(byId("cost-chart"), {
  keys: [{ id: "cost", label: "This gateway" }, { id: "baseline", label: "Always the teacher" }, { id: "target", label: "Target" }],
  stacked: false,
  label: "Cost per interaction",
  showTick,
});

const drawShare = createChart(byId("share-chart"), {
  keys: TIERS,
  stacked: true,
  label: "Share of answers per tier",
  showTick: (value) => `${Math.round(100 * value)} %`,
});

const share = (figures, tier) => (figures.interactions ? figures.by_tier[tier] / figures.interactions : null);
const amount = (money) => (money ? Number(money.usd) : null);
const baseline = (figures) =>
  showMoney(figures.teacher_cost_each) + (figures.teacher_estimated && figures.teacher_cost_each ? " est." : "");

/** A target far above all that was spent is told, not drawn: it would press the curves flat. */
function drawnTarget(view) {
  const target = amount(view.target);
  const highest = Math.max(0, ...view.series.flatMap((figures) => [amount(figures.cost_each), amount(figures.teacher_cost_each)]));
  return target !== null && target <= 3 * highest ? target : null;
}

function toSlices(view) {
  const target = drawnTarget(view);
  let done = 0;
  return view.series.map((figures) => {
    const from = done + 1;
    done += figures.interactions;
    const texts = { cost: showMoney(figures.cost_each), baseline: baseline(figures), target: showMoney(view.target) };
    const values = { cost: amount(figures.cost_each), baseline: amount(figures.teacher_cost_each), target };
    for (const { id } of TIERS) {
      values[id] = share(figures, id);
      texts[id] = showShare(values[id]);
    }
    return { from, to: done, when: [showTime(figures.first_at), showTime(figures.last_at)], values, texts };
  });
}

function showCharts(view) {
  const { totals } = view;
  const points = toSlices(view);
  const above = view.target && drawnTarget(view) === null ? ", above the chart" : "";
  const unused = new Set(totals.by_tier.recall ? [] : ["recall"]);
  drawCost({
    slices: points,
    totals: { cost: showMoney(totals.cost_each), baseline: baseline(totals), target: showMoney(view.target) + above },
    hidden: new Set(view.target ? [] : ["target"]),
  });
  drawShare({
    slices: points,
    totals: Object.fromEntries(TIERS.map(({ id }) => [id, showShare(share(totals, id))])),
    hidden: unused,
  });
  if (byId("slices").open) slices(points, new Set(unused.size ? ["Recall"] : []));
}

// ---- the rest ---------------------------------------------------------------------------------

function describeNow({ now, target }) {
  const cost = now.cost_each ? `now ${now.cost_each.text}, the newest ${showCount(now.interactions)}` : "";
  if (!target) return cost;
  const missed = now.cost_each && Number(now.cost_each.usd) > Number(target.usd);
  return `${cost}; target ${target.text}${now.cost_each ? (missed ? ": missed" : ": met") : ""}`;
}

function describeParts({ answers, checks, student, training, unknown, core_seconds: seconds }) {
  const hours = seconds ? `, ${showDuration(seconds)} of a core` : "";
  const parts = [
    `answers ${showMoney(answers)}`,
    `checks ${showMoney(checks)}`,
    `student ${showMoney(student)}`,
    training ? `training ${training.text}${hours}` : `training not priced${hours}`,
  ];
  if (unknown) parts.push(`${showCount(unknown)} calls of unknown cost`);
  return parts.join(" · ");
}

function showTotals({ totals, now, spending, estimate, target }) {
  const n = totals.interactions;
  setText("cost-each", showMoney(totals.cost_each));
  const partly = totals.priced < n ? `; known for ${showCount(totals.priced)} of ${showCount(n)}` : "";
  setText("cost-each-more", totals.cost_each ? `always the teacher: ${baseline(totals)}${partly}` : "no answer is priced");
  setText("cost-now", describeNow({ now, target }));
  setText("saving", showShare(spending.net));
  setText("saving-parts", describeParts(spending));
  const est = totals.teacher_estimated ? " est." : "";
  setText(
    "saving-more",
    totals.saving === null ? "needs prices" : `${showMoney(totals.compared_cost)} spent instead of ${showMoney(totals.compared_teacher_cost)}${est}`,
  );
  setText("student-share", showShare(share(totals, "student")));
  const failed = totals.errors ? `, ${showCount(totals.errors)} failed` : "";
  setText("student-share-more", `${showCount(totals.by_tier.student)} of ${showCount(n)} interactions${failed}`);
  const escalated = share(totals, "teacher");
  setText("escalated", `${showShare(escalated)} escalated to the teacher; now ${showShare(share(now, "teacher"))}`);
  const measured = totals.measured ? estimate?.all : null;
  setText("agreement-interval", measured ? `${showShare(measured.low)} to ${showShare(measured.high)} at 95 % confidence` : "");
  setText("agreement", showShare(totals.agreement));
  byId("agreement-est").hidden = totals.agreement === null || !totals.measured;
  setText("agreement-more", describeAgreement(totals));
}

function describeAgreement(totals) {
  if (totals.measured) return `estimated from ${showCount(totals.measured)} random checks`;
  if (totals.agreement === null) return "nothing served was checked yet";
  return "the teacher answered everything";
}

let notesBefore = "";
function showNotes(notes) {
  const state = JSON.stringify(notes);
  if (state === notesBefore) return;
  notesBefore = state;
  byId("notes").replaceChildren(
    ...notes.map((note) => {
      const box = document.createElement("p");
      box.className = `note ${note.weight}`;
      const title = document.createElement("strong");
      title.textContent = note.title;
      box.append(title, ` ${note.text}`);
      return box;
    }),
  );
}

function show(view) {
  const empty = view.totals.interactions === 0;
  const alone = new Set(view.workload !== null || view.workloads.length < 2 ? ["Workload"] : []);
  showNotes(view.notes);
  byId("empty").hidden = !empty;
  byId("figures").hidden = empty;
  byId("charts").hidden = empty;
  byId("slices").hidden = empty;
  standings(view.standings, alone);
  if (!empty) {
    showTotals(view);
    showCharts(view);
  }
  byId("speed").hidden = empty;
  tiers(view.tiers);
  alarms(view.alarms, alone);
  releases(view.releases, alone);
  setText("more-releases", view.more_releases ? `and ${showCount(view.more_releases)} older ones: tutelage releases list` : "");
  cycles(view.cycles, alone);
  setText("answers", `${showCount(view.answers)} of the teacher's answers are recorded with consent to learn`);
  const noText = view.latest.every((row) => row.text === null);
  latest(view.latest, new Set([...alone, ...(noText ? ["Request"] : [])]));
}

// ---- the page ---------------------------------------------------------------------------------

let lastView = null;

export const overviewPage = {
  title: "Overview",
  refreshMs: 2000,
  create(host, context) {
    byId("slices").addEventListener("toggle", () => {
      if (lastView && byId("slices").open) showCharts(lastView);
    });
    byId("snippet").textContent = [
      "from openai import OpenAI",
      "",
      `client = OpenAI(base_url="${location.origin}/v1", api_key="…")`,
      "client.chat.completions.create(",
      '    model="auto",',
      '    messages=[{"role": "user", "content": "Where is my parcel?"}],',
      ")",
    ].join("\n");
    return {
      async load(place, isCurrent) {
        const view = await ask(`ui/data${toQuery({ workload: context.workload })}`);
        if (!isCurrent()) return;
        lastView = view;
        byId("main").hidden = false;
        context.setWorkloads(view.workloads, view.more_workloads);
        show(view);
      },
    };
  },
};
