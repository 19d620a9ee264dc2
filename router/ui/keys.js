// Keys and budgets: who may call, how fast, and what was spent of what may be.

import { el, field, select, setText, showOnce } from "./dom.js";
import { showCount, showTime, showUsd } from "./format.js";
import { ask, toQuery } from "./net.js";
import { createTable } from "./table.js";

const DAYS = [["1", "day"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "year"]];
const nameKey = (name) => name || "no key";
const nameBudget = ({ kind, key, workload }) => ({ all: "Everything", key, workload: `Workload ${workload}` })[kind];

export const keysPage = { title: "Keys and budgets", refreshMs: 5000, create };

function create(host, context) {
  const budgets = el("section", { id: "budgets" });
  const keyHost = el("div", { class: "table", data: { table: "keys" } });
  const days = select(DAYS, { value: "30" });
  const spentHost = el("div", { class: "table", data: { table: "spending" } });
  const total = el("p", { class: "more" });
  host.append(
    budgets,
    el("section", {}, el("h2", { text: "Spending" }), el("form", { class: "filters" }, field("In the last", days)), spentHost, total),
    el("section", {}, el("h2", { text: "Keys" }), keyHost),
  );
  days.addEventListener("change", () => context.reload());
  const showSpending = createTable(spentHost, {
    caption: "What was spent, by key and workload",
    nothing: "Nothing was spent.",
    columns: [
      { title: "Tenant", look: "name", cell: (row) => row.tenant || "–" },
      { title: "Key", look: "name", cell: (row) => ({ text: nameKey(row.key), kind: "strong" }) },
      { title: "Workload", look: "name", cell: (row) => row.workload },
      { title: "Calls", look: "number", cell: (row) => showCount(row.attempts) },
      { title: "Spent", look: "number", cell: (row) => ({ text: showUsd(row.usd), hint: `$${row.usd}` }) },
      { title: "Cost unknown", look: "number", cell: (row) => (row.unknown ? { text: showCount(row.unknown), kind: "bad" } : "–") },
    ],
  });
  const showKeys = createTable(keyHost, {
    caption: "Callers' keys",
    nothing: "No key is configured: the gateway answers on this machine alone.",
    columns: [
      { title: "Key", look: "name", cell: (row) => ({ text: row.name, kind: "strong" }) },
      { title: "Tenant", look: "name", cell: (row) => row.tenant },
      { title: "Budget", cell: (row) => (row.budget ? `${showUsd(row.budget.usd)} per ${row.budget.per}` : "none") },
      { title: "Requests a minute", look: "number", cell: (row) => (row.rate?.requests_per_minute ? showCount(row.rate.requests_per_minute) : "–") },
      { title: "Tokens a minute", look: "number", cell: (row) => (row.rate?.tokens_per_minute ? showCount(row.rate.tokens_per_minute) : "–") },
      { title: "Learned from", cell: (row) => (row.train_on ? "yes" : "no") },
    ],
  });
  return {
    async load(place, isCurrent) {
      const [held, spent, keys] = await Promise.all([ask("admin/v1/budgets"), ask(`admin/v1/spending${toQuery({ days: days.value })}`), ask("admin/v1/keys")]);
      if (!isCurrent()) return;
      showOnce(budgets, held.data, () => [el("h2", { text: "Budgets" }), held.data.length ? el("ul", { class: "cards" }, ...held.data.map(showBudget)) : el("p", { class: "faint", text: "No budget is configured." })]);
      showSpending(spent.data);
      const sum = spent.data.reduce((usd, row) => usd + Number(row.usd), 0);
      setText(total, spent.data.length ? `${showUsd(sum)} since ${showTime(spent.since)}, the teacher's answers, checks and paid drafts alike.` : "");
      showKeys(keys.data);
    },
  };
}

function showBudget(budget) {
  const [limit, spent, held] = [budget.usd, budget.spent_usd, budget.held_usd].map(Number);
  return el(
    "li",
    { class: "card" },
    el("h3", { text: nameBudget(budget) }),
    el("p", { class: "big", text: showUsd(spent) }),
    el("meter", { min: 0, low: 0.8 * limit, high: 0.95 * limit, max: limit || 1, optimum: 0, value: spent + held, "aria-label": `Budget of ${nameBudget(budget)}` }),
    el("p", { class: "more", text: `of ${showUsd(limit)} per ${budget.per}, ${showUsd(held)} set aside, ${showUsd(budget.left_usd)} left until ${showTime(budget.ends_at)}` }),
  );
}
