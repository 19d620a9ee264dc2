// Frontier: what every threshold of a workload would cost and how well it would answer; another one
// is chosen by dragging, by its number, by a promise or by a budget, and put in force.

import { el, field, select, setText, showOnce, terms } from "./dom.js";
import { showCount, showShare, showTime, showUsd } from "./format.js";
import { ask, ofWorkload, Refusal, toQuery } from "./net.js";
import { findAffordable, findPromised, NEWEST } from "./outlooks.js";
import { createPlane } from "./plane.js";
import { sign } from "./sign.js";

const CONFIDENCE = 0.95;
const WAYS = [
  ["threshold", "A threshold"],
  ["promise", "A promise"],
  ["budget", "A budget"],
];

const interval = (estimate, show) => (estimate ? [el("span", { class: "strong", text: show(estimate.value) }), el("small", { text: `${show(estimate.low)} to ${show(estimate.high)}` })] : ["unknown"]);
const share = (value) => showShare(value, 1);
const showThreshold = (value) => String(Number(value.toPrecision(4)));
const points = (value) => `${(100 * value).toFixed(1)} points`;
const cost = (outlook) => outlook.cost_usd?.value ?? null;

/** What is sent to put a choice in force. Other settings of who answers are taken away with it. */
function writePolicy(way, choice, outlook) {
  const none = { promise: null, budget: null, threshold: null };
  if (way === "promise") return { ...none, policy: "promise", promise: { agreement: choice.agreement, confidence: CONFIDENCE, over: choice.over } };
  if (way === "budget") return { ...none, policy: "budget", budget: { usd_per_interaction: choice.usd } };
  if (outlook.threshold === null) return { ...none, policy: "teacher" };
  return { ...none, policy: "threshold", threshold: outlook.threshold };
}

function namePolicy({ policy, threshold, promise, budget }) {
  if (policy === "threshold") return `threshold ${threshold}`;
  if (policy === "promise" && promise?.accuracy) return `promise of ${share(promise.accuracy)} accuracy`;
  if (policy === "promise" && promise) return `promise of ${share(promise.agreement)} over ${promise.over ?? "all"}`;
  if (policy === "budget" && budget) return budget.usd_per_interaction ? `budget of $${budget.usd_per_interaction} per interaction` : "budget";
  return policy ?? "the file's policy, in part changed";
}

export const frontierPage = { title: "Frontier", refreshMs: 0, create };

function create(host, context) {
  const title = el("h2", { text: "Frontier" });
  const missing = el("p", { class: "note", hidden: true });
  const body = el("div", { class: "frontier", hidden: true });
  const standing = el("div");
  const history = el("section", { "aria-label": "Versions of the policy" });
  host.append(title, missing, body, history);

  const plane = el("div", { class: "plane" });
  const slider = el("input", { type: "range", dir: "rtl", min: 0, step: 1, "aria-label": "Operating point, from the teacher alone to every draft served" });
  const way = select(WAYS, { id: "way" });
  const agreement = el("input", { id: "promise", type: "number", min: 50, max: 100, step: 0.1 });
  const over = select([["all", "all answers"], ["served", "the student's answers"]], { id: "over" });
  const usd = el("input", { id: "budget", type: "number", min: 0, step: "any" });
  const figures = el("div", { id: "predicted", "aria-live": "polite" });
  const problem = el("p", { class: "faint" });
  const apply = el("button", { class: "primary", id: "apply", text: "Apply…" });
  const promiseFields = el("div", { class: "row" }, field("At least, %", agreement), field("Over", over));
  const budgetFields = field("USD per interaction, at most", usd);
  const about = el("p", { class: "more" });
  body.append(
    el("figure", {}, el("figcaption", { class: "more", text: "Drag the point. The band is each threshold's interval." }), plane, slider, about, standing),
    el("aside", { class: "panel" }, el("h3", { text: "Operating point" }), field("Set it by", way), promiseFields, budgetFields, figures, problem, apply),
  );

  let data = null;
  let policy = null;
  let entry = null;
  let chosen = 0;
  let fits = true;
  const draw = createPlane(plane, (index) => pick(index));

  function pick(index) {
    chosen = index;
    fits = true;
    const outlook = data.outlooks[index];
    const promised = over.value === "served" ? outlook.agreement_served : outlook.agreement;
    if (promised) agreement.value = (Math.floor(promised.low * 1000 + 1e-9) / 10).toFixed(1);
    if (outlook.cost_usd) usd.value = Number(outlook.cost_usd.high.toPrecision(3));
    render();
  }

  /** Whether the promise that is chosen is the one in force: where it serves from is known then. */
  function isInForce() {
    const promise = policy.policy === "promise" ? policy.in_force.promise : null;
    const same = promise?.agreement && over.value === promise.over && Math.abs(Number(agreement.value) - 100 * promise.agreement) < 1e-9;
    return way.value === "promise" && Boolean(same) && data.marks.in_force != null;
  }

  function findChosen() {
    if (isInForce()) return data.marks.in_force;
    if (way.value === "promise") return findPromised(data.outlooks, Number(agreement.value) / 100, over.value);
    return findAffordable(data.outlooks, Number(usd.value));
  }

  /** After a promise or a budget was typed. */
  function follow() {
    const found = findChosen();
    fits = found !== null;
    if (fits) chosen = found;
    render();
  }

  function render() {
    const { outlooks, marks } = data;
    const outlook = outlooks[chosen];
    const priced = outlooks.every((one) => one.cost_usd);
    slider.max = outlooks.length - 1;
    slider.value = chosen;
    slider.setAttribute("aria-valuetext", describe(outlook));
    promiseFields.hidden = way.value !== "promise";
    budgetFields.hidden = way.value !== "budget";
    draw({
      points: outlooks.map((one) => ({ x: priced ? cost(one) : one.asked, y: one.agreement.value, low: one.agreement.low, high: one.agreement.high })),
      chosen,
      inForce: marks.in_force ?? null,
      goal: way.value === "promise" && agreement.value ? Number(agreement.value) / 100 : null,
      showX: priced ? showUsd : (value) => share(value),
      xTitle: priced ? "USD per interaction" : "Share that the teacher is asked",
    });
    figures.replaceChildren(predict(outlook, outlooks[marks.in_force] ?? null));
    setText(problem, fits ? sayWhatApplies() : "No threshold stays within this by what the log shows.");
    apply.disabled = !fits;
  }

  function sayWhatApplies() {
    if (isInForce() && chosen === data.marks.in_force && chosen !== 0) return "This promise is in force, and this is what the certificate serves now.";
    if (way.value === "promise" && chosen === 0) return "No threshold is shown by the log to keep this; until one is proven the teacher answers everything.";
    if (way.value === "promise") return "Under a promise the certificate decides how much is served: this is where it may go.";
    if (way.value === "budget") return "Under a budget the gateway finds the threshold itself.";
    if (data.outlooks[chosen].threshold === null) return "The teacher answers everything; without drafts nothing more is learned about thresholds.";
    return "Served from this confidence on, without a promise.";
  }

  const describe = (outlook) => `${outlook.threshold === null ? "Teacher alone" : `Threshold ${showThreshold(outlook.threshold)}`}: agreement ${share(outlook.agreement.value)}, cost ${showUsd(cost(outlook))}, asked ${share(outlook.asked)}`;

  function predict(outlook, current) {
    const change = (now, before, show) => (current && before !== null && now !== null && Math.abs(now - before) > 1e-12 ? el("small", { text: `${now > before ? "+" : "−"}${show(Math.abs(now - before))} against now` }) : null);
    const rows = [
      ["Threshold", el("span", { class: "strong", text: outlook.threshold === null ? "none: the teacher alone" : showThreshold(outlook.threshold) })],
      ["Cost per interaction", ...interval(outlook.cost_usd, showUsd), change(cost(outlook), current && cost(current), showUsd)],
      ["Saving", el("span", { class: "strong", text: outlook.saving === null ? "unknown" : share(outlook.saving) })],
      ["Agreement", ...interval(outlook.agreement, share), change(outlook.agreement.value, current && current.agreement.value, points)],
      ["… of what is served", ...(outlook.agreement_served ? interval(outlook.agreement_served, share) : ["–"])],
      ["Escalated", el("span", { class: "strong", text: share(1 - outlook.served) }), change(1 - outlook.served, current && 1 - current.served, points)],
      ["Checked besides", share(outlook.asked - (1 - outlook.served))],
    ];
    return terms(rows, "terms predicted");
  }

  for (const input of [agreement, over, usd]) input.addEventListener("input", follow);
  way.addEventListener("change", () => (way.value === "threshold" ? pick(chosen) : follow()));
  slider.addEventListener("input", () => pick(Number(slider.value)));
  apply.addEventListener("click", async () => {
    const outlook = data.outlooks[chosen];
    const change = writePolicy(way.value, { agreement: Number(agreement.value) / 100, over: over.value, usd: Number(usd.value) }, outlook);
    const text = `The next request to ${entry.name} is decided by: ${namePolicy(change)}. What the file says stays as it is.`;
    await put({ title: "Put this policy in force?", text, action: "Apply", method: "PUT", change });
  });

  async function put({ title: head, text, action, method, change }) {
    const done = await sign({ title: head, text, action, make: (signed) => ask(ofWorkload(entry.name, "policy"), { method, body: { ...change, ...signed } }) });
    if (done === null) return;
    context.tell(`Version ${done.version} is in force for ${done.workload}: ${namePolicy(done.in_force)}.`);
    data = null;
    context.reload();
  }

  function undo() {
    const before = policy.history[1];
    const back = before && before.change !== null;
    const text = back ? `Back to version ${before.version}: ${namePolicy(before.change)}.` : "Back to what the configuration file says.";
    put({ title: `Undo version ${policy.version}?`, text, action: "Undo", method: back ? "PUT" : "DELETE", change: back ? before.change : {} });
  }

  function showHistory() {
    showOnce(history, [policy.history, policy.source], () => {
      const from = policy.source === "admin" ? `version ${policy.version}` : "the configuration file";
      const undoing = policy.history.length && policy.history[0].change !== null ? el("button", { id: "undo", text: `Undo version ${policy.version}…`, on: { click: undo } }) : null;
      const lines = policy.history.map((version) =>
        el("li", {}, el("strong", { text: `Version ${version.version}` }), ` ${version.change === null ? "back to the file" : namePolicy(version.change)} `, el("span", { class: "faint", text: `${showTime(version.at)}, ${version.author}: ${version.reason}` })),
      );
      return [
        el("h2", { text: "Policy" }),
        el("p", {}, "In force: ", el("strong", { text: namePolicy({ ...policy.in_force, policy: policy.policy }) }), `, from ${from}. `, undoing),
        policy.problem ? el("p", { class: "note alert", text: policy.problem }) : null,
        lines.length ? el("ol", { class: "versions" }, ...lines) : el("p", { class: "faint", text: "No version was stored yet." }),
      ];
    });
  }

  function showStanding() {
    showOnce(standing, entry.standing, () => {
      const { promise, mode } = entry.standing;
      const proven = promise && promise.lower_bound !== null ? ` Proven: at least ${share(promise.lower_bound)}.` : "";
      return el("p", { class: "note" }, el("strong", { text: promise ? "What the certificate says" : "No promise, no certificate" }), `${mode}.${proven} ${promise?.outlook?.sentence ?? ""}`);
    });
  }

  async function load(place, isCurrent) {
    const { data: entries } = await ask("admin/v1/workloads");
    if (!isCurrent()) return;
    context.setWorkloads(entries.map((one) => one.workload));
    entry = entries.find((one) => one.workload === context.workload) ?? entries.find((one) => one.release) ?? entries[0] ?? null;
    const nothing = entry === null || entry.name === null;
    setText(title, entry === null ? "Frontier" : `Frontier of ${entry.workload}`);
    if (nothing) {
      hideAll(entry === null ? "No workload yet: send the gateway some traffic first." : "This workload isn't in the configuration, so it has no policy to change.");
      return;
    }
    policy = await ask(ofWorkload(entry.name, "policy"));
    if (!isCurrent()) return;
    history.hidden = false;
    showStanding();
    showHistory();
    try {
      const found = await ask(ofWorkload(entry.workload, "frontier") + toQuery({ newest: NEWEST }));
      if (isCurrent()) accept(found);
    } catch (error) {
      if (!(error instanceof Refusal) || ![404, 409].includes(error.status)) throw error;
      if (isCurrent()) hideAll(error.message, false);
    }
  }

  function accept(found) {
    data = found;
    missing.hidden = true;
    body.hidden = false;
    // Of a promise on accuracy the log can't tell what would keep it.
    const known = policy.policy === "budget" || (policy.policy === "promise" && !policy.in_force.promise?.accuracy);
    const asPolicy = known ? policy.policy : "threshold";
    way.value = asPolicy;
    pick(found.marks.in_force ?? found.marks.promise ?? 0);
    const promise = policy.in_force.promise;
    if (asPolicy === "promise" && promise) {
      over.value = promise.over;
      agreement.value = Number((100 * promise.agreement).toFixed(2));
      follow();
    }
    setText(about, `From ${showCount(found.interactions)} interactions (of the newest ${showCount(NEWEST)}): ${showCount(found.drafts)} drafts by release ${found.release.slice(0, 12)}, ${showCount(found.checked)} of them checked; intervals at ${share(found.confidence)}.`);
  }

  function hideAll(text, all = true) {
    body.hidden = true;
    missing.hidden = false;
    history.hidden = all;
    setText(missing, text);
  }

  return { load };
}
