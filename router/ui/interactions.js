// Interactions: found by what was decided about them, and one of them from top to bottom.

import { el, field, select, setText, showOnce } from "./dom.js";
import { alignMoney, showConfidence, showCount, showLatency, showTime, showTruth, showUsd } from "./format.js";
import { createInteraction } from "./interaction.js";
import { ask, listWorkloads, toQuery } from "./net.js";
import { createTable } from "./table.js";

const PAGE = 50;
const ANY = ["", "any"];
const TIERS = [ANY, ["student", "student"], ["recall", "recall"], ["teacher", "teacher"]];
const DISAGREED = [ANY, ["answer", "the answer"], ["draft", "the draft"], ["either", "either"]];
const STATUS = [ANY, ["ok", "answered"], ["error", "failed"], ["broken", "ended early"]];
const toMoney = ({ cost_usd: usd }) => (usd === null ? null : { usd, text: showUsd(usd) });
const COLUMNS = [
  { title: "Time", cell: (row) => ({ text: showTime(row.created_at), link: `#/interactions/${encodeURIComponent(row.id)}` }) },
  { title: "Workload", look: "name", cell: (row) => ({ text: row.workload, hint: row.workload }) },
  { title: "Request", look: "line", cell: (row) => ({ text: row.text || "–", hint: row.text }) },
  { title: "Tier", cell: (row) => ({ text: row.tier, kind: `tier ${row.tier}` }) },
  { title: "Reason", look: "short", cell: (row) => (row.status === "ok" ? { text: row.reason, hint: row.reason } : { text: `${row.reason}, ${row.status}`, kind: "bad" }) },
  { title: "Confidence", look: "number", cell: (row) => showConfidence(row.confidence, row.threshold) },
  { title: "Cost", look: "number", cell: (row, i, rows) => alignMoney(rows.map(toMoney))[i] },
  { title: "Latency", look: "number", cell: (row) => showLatency(row.latency_ms) },
  { title: "Agreed", cell: (row) => (row.agreed === false ? { text: "no", kind: "bad" } : showTruth(row.agreed)) },
  { title: "Draft agreed", cell: (row) => showTruth(row.draft_agreed) },
];

export const interactionsPage = { title: "Interactions", refreshMs: 0, create };

function create(host, context) {
  const list = el("div");
  const one = el("div", { hidden: true });
  host.append(list, one);
  const showOne = createInteraction(one, context);
  const showList = createList(list, context);
  return {
    async load(place, isCurrent) {
      const id = place.rest[0] ?? null;
      const data = await listWorkloads();
      if (!isCurrent()) return;
      context.setWorkloads(data.map((entry) => entry.workload));
      list.hidden = id !== null;
      one.hidden = id === null;
      await (id === null ? showList(place.query, isCurrent) : showOne(id, isCurrent, data));
    },
  };
}

function createList(host, context) {
  const text = el("input", { name: "text", type: "search", placeholder: "parcel", autocomplete: "off", spellcheck: "false" });
  const tier = select(TIERS, { name: "tier" });
  const reason = select([ANY], { name: "reason" });
  const disagreed = select(DISAGREED, { name: "disagreed" });
  const status = select(STATUS, { name: "status" });
  const least = el("input", { name: "least_usd", type: "number", min: 0, step: "any", placeholder: "0.01" });
  const most = el("input", { name: "most_usd", type: "number", min: 0, step: "any", placeholder: "any" });
  const controls = [text, tier, reason, disagreed, status, least, most];
  const form = el(
    "form",
    { class: "filters", role: "search", "aria-label": "Interactions" },
    field("Words of the request", text),
    field("Tier", tier),
    field("Reason", reason),
    field("Disagreed with the teacher", disagreed),
    field("Outcome", status),
    field("Cost from, USD", least),
    field("Cost to, USD", most),
    el("button", { type: "reset", text: "Clear" }),
  );
  const found = el("p", { class: "more", role: "status" });
  const tableHost = el("div", { class: "table", data: { table: "found" } });
  const newest = el("a", { text: "Newest", hidden: true });
  const older = el("a", { text: "Older", hidden: true, rel: "next" });
  host.append(el("h2", { text: "Interactions" }), form, found, tableHost, el("p", { class: "actions pages" }, newest, older));
  const show = createTable(tableHost, { caption: "Interactions found, newest first", nothing: "Nothing fits.", columns: COLUMNS });

  const read = () => Object.fromEntries(controls.map((control) => [control.name, control.value]));
  const address = (more = {}) => `#/interactions${toQuery({ ...read(), ...more })}`;
  let typing = 0;
  form.addEventListener("input", ({ target }) => {
    clearTimeout(typing);
    if (target === text) typing = setTimeout(() => context.go(address()), 250);
    else context.go(address());
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => context.go(address())));

  let again = 0;
  return async (query, isCurrent) => {
    clearTimeout(again);
    const before = query.get("before") ?? "";
    const given = Object.fromEntries(controls.map((control) => [control.name, query.get(control.name) ?? ""]));
    const answer = await ask(`admin/v1/interactions${toQuery({ ...given, before, limit: PAGE, workload: context.workload })}`);
    if (!isCurrent()) return;
    showOnce(reason, answer.reasons, () => [ANY, ...answer.reasons.map((name) => [name, name])].map(([id, text]) => new Option(text, id)));
    for (const control of controls) if (document.activeElement !== control) control.value = given[control.name];
    show(answer.data, new Set(context.workload === null ? [] : ["Workload"]));
    const span = answer.data.length ? `, ${showTime(answer.data.at(-1).created_at)} to ${showTime(answer.data[0].created_at)}` : "";
    const behind = answer.unindexed ? `; ${showCount(answer.unindexed)} newer texts are still being read` : "";
    if (answer.unindexed) again = setTimeout(() => isCurrent() && context.reload(), 500);
    setText(found, `${answer.data.length}${answer.next ? " of more" : ""}${before ? " older ones" : ""}${span}${behind}`);
    newest.hidden = !before;
    newest.href = address();
    older.hidden = answer.next === null;
    older.href = address({ before: answer.next });
  };
}
