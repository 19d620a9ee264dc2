// One interaction: the asks in order, what was measured, what was said, and what else might have been.

import { el, field, select, shape, showOnce, terms } from "./dom.js";
import { showLatency, showShare, showTime, showUsd } from "./format.js";
import { ask, ofWorkload, toQuery } from "./net.js";
import { findAffordable, findPromised, NEWEST } from "./outlooks.js";

const POLICIES = [["threshold", "a threshold"], ["promise", "a promise"], ["budget", "a budget"], ["student", "every draft served"], ["teacher", "the teacher alone"]];
const VERDICTS = [["", "no score"], ["1", "right"], ["-1", "wrong"]];

/** Returns show(id, isCurrent, workloads). */
export function createInteraction(host, context) {
  return async (id, isCurrent, workloads) => {
    const told = await ask(`admin/v1/interactions/${encodeURIComponent(id)}`);
    if (!isCurrent()) return;
    const isConfigured = workloads.some((entry) => entry.workload === told.workload && entry.name !== null);
    showOnce(host, told, () => [
      el("p", {}, el("a", { href: "#/interactions", text: "All interactions" })),
      showHead(told),
      el("div", { class: "pair" }, showTimeline(told), showEvidence(told)),
      showTexts(told),
      el("div", { class: "pair" }, createFeedback(told, context), isConfigured ? createWhatIf(told) : null),
    ]);
  };
}

function showHead(told) {
  const { recorded } = told;
  const est = recorded.teacher_cost_estimated ? " est." : "";
  const first = recorded.first_token_ms === null ? "" : `, first token after ${showLatency(recorded.first_token_ms)}`;
  const rows = [
    ["Answered by", el("span", { class: `tier ${told.tier}`, text: told.tier === "student" ? told.model : told.tier })],
    ["Cost", showUsd(told.costs.usd)],
    ["Always the teacher", showUsd(told.costs.teacher_usd) + (told.costs.teacher_usd === null ? "" : est)],
    ["Latency", showLatency(recorded.latency_ms), el("small", { text: `of it ours ${showLatency(recorded.overhead_ms)}${first}` })],
    ["Agrees", recorded.agreed === null ? "not measured" : recorded.agreed ? "yes" : el("span", { class: "bad", text: "no" })],
    ["When", showTime(recorded.created_at)],
    ["Workload", told.workload],
    ["Key", told.key_name || "none"],
  ];
  return el("section", {}, el("h2", { class: "mono id", text: told.id }), terms(rows, "facts"), el("p", { class: "why" }, el("strong", { text: `${told.reason}. ` }), told.why), ...told.notes.map((note) => el("p", { class: "note", text: note })));
}

function showTimeline({ steps, dropped, otherwise, recorded }) {
  const asks = steps.map((step) => {
    const kind = step.background ? "in the background" : step.commit ? "answers" : "drafts";
    const chance = step.propensity < 1 ? `, by a chance of ${showShare(step.propensity)}` : "";
    const who = step.tier === "student" && step.rung ? step.rung : step.tier;
    return el("li", {}, el("strong", { class: `tier ${step.tier}`, text: `${who} ${kind}` }), el("span", { class: "faint", text: ` ${step.reason}${chance}` }), el("p", { text: step.sentence }));
  });
  const calls = recorded.attempts.map((call) => {
    const usage = call.usage ? `${call.usage.prompt_tokens} + ${call.usage.completion_tokens} tokens` : "usage unknown";
    const outcome = call.error ?? (call.status === null ? "" : `HTTP ${call.status}`);
    return el("li", { class: "call" }, el("strong", { text: `${call.model}: ${call.purpose}` }), el("span", { class: call.error ? "bad" : "faint", text: ` ${outcome}, ${showLatency(call.latency_ms)}, ${usage}, ${showUsd(call.cost_usd)}` }));
  });
  const not = dropped.map((one) => el("li", { class: "not" }, el("strong", { text: `not ${one.option}` }), el("p", { text: one.why })));
  return el(
    "section",
    {},
    el("h3", { text: "Timeline" }),
    el("ol", { class: "timeline" }, ...asks, ...calls, ...not),
    otherwise.length ? el("h3", { text: "What would have to change" }) : null,
    ...otherwise.map((text) => el("p", { text })),
  );
}

function showEvidence({ confidence, threshold, signals, propensity, release }) {
  const rows = Object.entries(signals).map(([name, value]) => [name.replaceAll("_", " "), Number(value.toPrecision(4)).toString()]);
  return el(
    "section",
    {},
    el("h3", { text: "Evidence" }),
    confidence === null ? el("p", { class: "faint", text: "No draft was judged." }) : drawGauge(confidence, threshold),
    terms([...rows, ["teacher's answer known by a chance of", showShare(propensity)], ["release", el("span", { class: "mono", text: release ? release.slice(0, 12) : "none" })]], "terms"),
  );
}

function drawGauge(confidence, threshold) {
  const x = (value) => 4 + 392 * Math.min(1, Math.max(0, value));
  const passes = threshold !== null && confidence >= threshold;
  const said = `Confidence ${confidence.toFixed(4)}${threshold === null ? "" : `, ${passes ? "at or above" : "below"} the threshold ${threshold.toFixed(4)}`}`;
  return el(
    "figure",
    { class: "gauge" },
    el("figcaption", { text: said }),
    shape(
      "svg",
      { viewBox: "0 0 400 22", role: "img", "aria-label": said },
      shape("rect", { class: "rail", x: 4, y: 7, width: 392, height: 8, rx: 4 }),
      shape("rect", { class: passes ? "level passed" : "level", x: 4, y: 7, width: Math.max(2, x(confidence) - 4), height: 8, rx: 4 }),
      threshold === null ? null : shape("line", { class: "mark", x1: x(threshold), x2: x(threshold), y1: 1, y2: 21 }),
    ),
  );
}

function sayAnswer(answer) {
  if (!answer) return null;
  const calls = (answer.tool_calls ?? []).map((call) => `${call.name ?? call.function?.name}(${call.arguments ?? call.function?.arguments})`);
  return [answer.content ?? answer.refusal ?? "", ...calls].filter(Boolean).join("\n") || "(empty)";
}

function showTexts({ recorded, tier }) {
  const teacher = sayAnswer(recorded.teacher_answer);
  const parts = [
    ["Request", recorded.text || null],
    ["Draft", sayAnswer(recorded.draft), recorded.draft_agreed],
    [`Delivered answer, by ${tier}`, sayAnswer(recorded.answer), recorded.agreed],
    ...(tier === "teacher" ? [] : [["Teacher's answer", teacher]]),
  ];
  const verdict = (agreed) => (agreed === true ? el("small", { class: "agrees", text: " agrees" }) : agreed === false ? el("small", { class: "bad", text: " disagrees" }) : null);
  return el(
    "section",
    { class: "texts", "aria-label": "Side by side" },
    ...parts.map(([title, text, agreed]) =>
      el("div", {}, el("h3", {}, title, verdict(agreed)), text === null ? el("p", { class: "faint", text: title === "Request" ? "Not stored." : "None." }) : el("pre", { tabindex: 0, "aria-label": title, text })),
    ),
  );
}

function createFeedback(told, context) {
  const said = told.feedback;
  const score = select(VERDICTS, { name: "score", value: said?.score === null || !said ? "" : said.score > 0 ? "1" : said.score < 0 ? "-1" : "" });
  const correction = el("textarea", { name: "correction", rows: 3 });
  correction.value = said?.correction ?? "";
  const result = el("p", { class: "more", role: "status", text: said ? `Said ${showTime(said.at)}.` : "" });
  const form = el("form", { id: "feedback" }, field("The answer was", score), field("It should have said", correction), el("button", { class: "primary", text: "Keep" }), result);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const body = { id: told.id };
    if (score.value) body.score = Number(score.value);
    if (correction.value.trim()) body.correction = correction.value.trim();
    try {
      const kept = await ask("v1/feedback", { method: "POST", body });
      result.textContent = `Kept ${showTime(kept.created)}.`;
      context.tell("The feedback is kept.");
    } catch (error) {
      result.textContent = error.message;
    }
  });
  return el("section", {}, el("h3", { text: "Feedback" }), form);
}

/** What is asked of the gateway. A promise or a budget would begin its proof afresh; where that may
 * lead is a threshold that the log predicts for it. */
async function choose(workload, policy, given) {
  if (policy === "threshold") return { body: { policy, threshold: Number(given.threshold.value) } };
  if (policy !== "promise" && policy !== "budget") return { body: { policy } };
  const { outlooks } = await ask(ofWorkload(workload, "frontier") + toQuery({ newest: NEWEST }));
  const found = policy === "promise" ? findPromised(outlooks, Number(given.agreement.value) / 100, "all") : findAffordable(outlooks, Number(given.usd.value));
  const outlook = found === null ? null : outlooks[found];
  if (outlook === null) return { body: { policy: "student" }, why: "The log shows no threshold that stays within this budget; the cheapest is to serve every draft." };
  if (outlook.threshold === null) return { body: { policy: "teacher" }, why: "By what the log shows the teacher alone fits this." };
  const cost = outlook.cost_usd ? `, ${showUsd(outlook.cost_usd.value)} an interaction` : "";
  return { body: { policy: "threshold", threshold: outlook.threshold }, why: `By what the log shows, this leads to the threshold ${Number(outlook.threshold.toPrecision(4))}: agreement ${showShare(outlook.agreement.value)}${cost}.` };
}

function createWhatIf(told) {
  const policy = select(POLICIES, { name: "policy" });
  const threshold = el("input", { type: "range", min: 0, max: 1, step: 0.005, name: "threshold" });
  const usual = Number.isFinite(told.threshold) ? told.threshold : null;
  threshold.value = usual ?? told.confidence ?? 0.9;
  const reading = el("output", { text: Number(threshold.value).toFixed(3) });
  const thresholdField = field("Serve from confidence", threshold);
  thresholdField.append(reading);
  const agreement = el("input", { type: "number", min: 50, max: 100, step: "any", value: 95, name: "agreement" });
  const agreementField = field("At least, % of all answers", agreement);
  const usd = el("input", { type: "number", min: 0, step: "any", value: told.costs.teacher_usd ?? "", name: "usd" });
  const usdField = field("USD per interaction, at most", usd);
  const result = el("div", { id: "planned", role: "status" });
  const form = el("form", { id: "what-if" }, field("Decide it by", policy), thresholdField, agreementField, usdField, el("button", { class: "primary", text: "Decide anew" }), result);
  threshold.addEventListener("input", () => (reading.textContent = Number(threshold.value).toFixed(3)));
  const showFields = () => {
    thresholdField.hidden = policy.value !== "threshold";
    agreementField.hidden = policy.value !== "promise";
    usdField.hidden = policy.value !== "budget";
  };
  policy.addEventListener("change", showFields);
  showFields();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const { body, why } = await choose(told.workload, policy.value, { threshold, agreement, usd });
      const before = why ? [el("p", { text: why })] : [];
      result.replaceChildren(...before, ...describePlan(await ask(`admin/v1/interactions/${encodeURIComponent(told.id)}/decide`, { method: "POST", body }), told));
    } catch (error) {
      result.replaceChildren(el("p", { class: "note alert", text: error.message }));
    }
  });
  return el("section", {}, el("h3", { text: "What would another policy do?" }), el("p", { class: "more", text: "Decided with today's release, on the request as it is stored. The teacher isn't asked, and nothing is delivered." }), form);
}

function describePlan(plan, told) {
  const same = plan.tier === told.tier ? "as it did" : `instead of the ${told.tier}`;
  const branches = plan.branches.map((branch) => el("li", { text: `${showShare(branch.probability)}: ${branch.tier}, ${branch.reason}` }));
  return [
    el("p", {}, el("strong", { class: `tier ${plan.tier}`, text: `The ${plan.tier} would answer, ${same}.` })),
    el("p", { text: plan.why }),
    branches.length ? el("ul", {}, ...branches) : null,
    el("p", { class: "more", text: `Expected cost ${showUsd(plan.costs.expected_usd)}; always the teacher ${showUsd(plan.costs.teacher_usd)}.` }),
  ].filter(Boolean);
}
