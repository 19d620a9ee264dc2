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
    { title: "Proven lower bound", look: "number", cell: (row) => describeBound(row) },
    { title: "Interactions counted", look: "number", cell: (row) => (row.promise ? showCount(row.promise.trials) : "–") },
  ],
});

function describePromise(promise) {
  const over = promise.over === "all" ? "all answers" : "the student's answers";
  const least = showShare(promise.agreement, 1).replace(".0 %", " %");
  const sure = showShare(promise.confidence, 1).replace(".0 %", " %");
  return `at least ${least} of ${over} agree, at ${sure} confidence`;
}

function describeBound({ promise, serving }) {
  if (!promise) return { text: "–", kind: "faint" };
  if (!serving) {
    const evidence = `${Math.floor(100 * promise.progress)} % of the evidence`;
    return { text: evidence, kind: "faint", hint: "Gathered so far, of what the strictest level needs" };
  }
  const kept = promise.lower_bound >= promise.agreement - 1e-9;
  return { text: showBound(promise.lower_bound), kind: kept ? "strong" : "bad" };
}

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
  keys: [{ id: "cost", label: "This gateway" }, { id: "baseline", label: "Always the teacher" }],
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

function toSlices(series) {
  let done = 0;
  return series.map((figures) => {
    const from = done + 1;
    done += figures.interactions;
    const texts = { cost: showMoney(figures.cost_each), baseline: baseline(figures) };
    const values = { cost: amount(figures.cost_each), baseline: amount(figures.teacher_cost_each) };
    for (const { id } of TIERS) {
      values[id] = share(figures, id);
      texts[id] = showShare(values[id]);
    }
    return { from, to: done, when: [showTime(figures.first_at), showTime(figures.last_at)], values, texts };
  });
}

function showCharts(view) {
  const { totals } = view;
  const points = toSlices(view.series);
  const unused = new Set(totals.by_tier.recall ? [] : ["recall"]);
  drawCost({
    slices: points,
    totals: { cost: showMoney(totals.cost_each), baseline: baseline(totals) },
    hidden: new Set(),
  });
  drawShare({
    slices: points,
    totals: Object.fromEntries(TIERS.map(({ id }) => [id, showShare(share(totals, id))])),
    hidden: unused,
  });
  if (byId("slices").open) slices(points, new Set(unused.size ? ["Recall"] : []));
}

// ---- the rest ---------------------------------------------------------------------------------

function showTotals({ totals }) {
  const n = totals.interactions;
  setText("cost-each", showMoney(totals.cost_each));
  const partly = totals.priced < n ? `; known for ${showCount(totals.priced)} of ${showCount(n)}` : "";
  setText("cost-each-more", totals.cost_each ? `always the teacher: ${baseline(totals)}${partly}` : "no answer is priced");
  setText("saving", showShare(totals.saving));
  const est = totals.teacher_estimated ? " est." : "";
  setText(
    "saving-more",
    totals.saving === null ? "needs prices" : `${showMoney(totals.compared_cost)} spent instead of ${showMoney(totals.compared_teacher_cost)}${est}`,
  );
  setText("student-share", showShare(share(totals, "student")));
  const failed = totals.errors ? `, ${showCount(totals.errors)} failed` : "";
  setText("student-share-more", `${showCount(totals.by_tier.student)} of ${showCount(n)} interactions${failed}`);
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
