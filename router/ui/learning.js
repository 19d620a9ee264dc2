// Learning: the cycle that runs, what the last one learned, the releases, and all cycles with their
// datasets and what the ladder decided.

import { el, setText, showOnce, terms } from "./dom.js";
import { showCount, showDuration, showShare, showTime } from "./format.js";
import { showLearned } from "./learned.js";
import { ask, listWorkloads, ofWorkload, toQuery } from "./net.js";
import { sign } from "./sign.js";

/** Whole digests say no more than their beginning. */
const shorten = (text) => text.replace(/\b([0-9a-f]{12})[0-9a-f]{20,}\b/g, "$1");
const OF_STATE = { active: "badge serving", canary: "badge serving" };
const PROMOTABLE = new Set(["candidate", "shadow", "canary", "retired"]);

export const learningPage = { title: "Learning", refreshMs: 5000, create };

function create(host, context) {
  const running = el("section", { "aria-label": "Running" });
  const said = el("p", { class: "unseen", role: "status" });
  const learned = el("section", { id: "learned" });
  const releases = el("section", { id: "all-releases" });
  const cycles = el("section", { id: "all-cycles" });
  host.append(said, running, learned, releases, cycles);

  async function change(path, options) {
    const done = await sign({ ...options, make: (signed) => ask(path, { method: "POST", body: signed }) });
    if (done === null) return;
    const now = done.serving ? `Release ${done.serving.slice(0, 12)} serves ${done.workload}.` : `No release serves ${done.workload}: the teacher answers.`;
    context.tell(`${now} ${done.problem ?? ""}`.trim());
    context.reload();
  }

  const promote = (release) =>
    change(`admin/v1/releases/${encodeURIComponent(release.digest)}/promote`, {
      title: `Promote release ${release.number} of ${release.workload}?`,
      text: "It takes the place of the release in force, which stays loaded for a way back.",
      action: "Promote",
    });
  const rollBack = (release) =>
    change(ofWorkload(release.workload, "rollback"), {
      title: `Roll ${release.workload} back?`,
      text: `Release ${release.number} goes out of force; the one before it takes its place, and where there is none, the teacher answers.`,
      action: "Roll back",
    });

  return {
    async load(place, isCurrent) {
      const query = toQuery({ workload: context.workload });
      const [found, known, made, entries] = await Promise.all([...["cycles", "learned", "releases"].map((what) => ask(`admin/v1/${what}${query}`)), listWorkloads()]);
      if (!isCurrent()) return;
      context.setWorkloads(entries.map((one) => one.workload));
      showRunning(running, found, context.workload);
      setText(said, found.data.filter(isRunning).map(tellStep).join(" "));
      showOnce(learned, known.data, () => [
        el("h2", { text: "What the last student learned" }),
        ...(known.data.length ? known.data.map(showLearned) : [el("p", { class: "faint", text: "No cycle has trained a student here yet." })]),
      ]);
      showOnce(releases, made.data, () => [
        el("h2", { text: "Releases" }),
        made.data.length ? el("ul", { class: "cards" }, ...made.data.map((one) => showRelease(one, promote, rollBack))) : el("p", { class: "faint", text: "No release yet. One is trained once enough of the teacher's answers are recorded." }),
      ]);
      // How far one is changes all the time: what is open in the list below must stay open.
      const listed = found.data.map((cycle) => (isRunning(cycle) ? { ...cycle, detail: {} } : cycle));
      showOnce(cycles, listed, () => [
        el("h2", { text: "Learning cycles" }),
        listed.length ? el("div", {}, ...listed.map(showCycle)) : el("p", { class: "faint", text: "No cycle yet: tutelage distill watch runs them." }),
      ]);
    },
  };
}

const isRunning = (cycle) => cycle.outcome === null;

/** For those who hear the page: said when a step begins, and not at each refresh. */
function tellStep({ workload, detail }) {
  const { progress } = detail;
  return progress ? `${workload}: step ${progress.step} of ${progress.steps}, ${progress.name}.` : `${workload}: a cycle runs.`;
}

function showStep({ workload, started_at, answers_seen, detail }) {
  const { progress } = detail;
  const since = (at) => showDuration(Math.max(0, Date.now() / 1000 - at));
  const begun = `${workload}: a cycle runs since ${showTime(started_at)}, on ${showCount(answers_seen)} answers (${since(started_at)}).`;
  const bar = { "aria-label": `Cycle of ${workload}` };
  if (!progress) return el("p", { class: "note good" }, el("progress", bar), ` ${begun}`);
  const { step, steps, name, done, total } = progress;
  const count = total === null ? "" : `, ${showCount(done)} of ${showCount(total)}`;
  const now = `Step ${step} of ${steps}: ${name}${count} (${since(progress.began_at)}).`;
  return el("p", { class: "note good" }, el("progress", { ...bar, max: steps, value: step - 1 + (total === null ? 0 : done / total) }), ` ${begun} `, el("strong", { text: now }));
}

function showRunning(host, { data, answers }, workload) {
  const known = Object.entries(answers).filter(([name]) => workload === null || name === workload);
  const seen = (name) => data.find((cycle) => cycle.workload === name)?.answers_seen ?? 0;
  host.replaceChildren(
    el("h2", { text: "Next" }),
    ...data.filter(isRunning).map(showStep),
    terms(known.map(([name, count]) => [name, `${showCount(count)} answers may be learned from`, el("small", { text: `${showCount(Math.max(0, count - seen(name)))} new since its last cycle` })]), "facts wide"),
  );
}

function showRelease(release, promote, rollBack) {
  const act = release.state === "active" ? el("button", { text: "Roll back…", on: { click: () => rollBack(release) } }) : PROMOTABLE.has(release.state) ? el("button", { text: "Promote…", on: { click: () => promote(release) } }) : null;
  const name = `${release.workload} ${release.number}`;
  act?.setAttribute("aria-label", `${act.textContent.replace("…", "")} ${name}`);
  const events = release.events.map((event) => el("li", {}, el("strong", { text: event.action.replace("_", " ") }), el("span", { class: "faint", text: ` ${showTime(event.at)}` }), el("p", { text: shorten(event.reason) })));
  return el(
    "li",
    { class: "card", data: { digest: release.digest } },
    el("h3", {}, name, " ", el("span", { class: OF_STATE[release.state] ?? "badge", text: release.state })),
    el("p", { class: "faint" }, el("span", { class: "mono", text: release.digest.slice(0, 12) }), ` made ${showTime(release.created_at)}`),
    events.length ? el("ol", { class: "events" }, ...events.slice(-3).reverse()) : null,
    act ? el("p", { class: "actions" }, act) : null,
  );
}

function showCycle(cycle) {
  const { dataset, rungs = [], sentence, error } = cycle.detail;
  const took = cycle.ended_at === null ? "running" : showDuration(cycle.ended_at - cycle.started_at);
  const told = shorten(sentence ?? error ?? tellStop(cycle));
  return el(
    "details",
    { class: "cycle" },
    el("summary", {}, el("span", { class: cycle.outcome === "promoted" ? "badge serving" : "badge", text: (cycle.outcome ?? "running").replaceAll("_", " ") }), el("strong", { text: cycle.workload }), el("span", { class: "faint", text: `${showTime(cycle.started_at)}, ${took}` }), el("span", { class: "told", text: told.replace(`${cycle.workload}: `, "") })),
    el("div", { class: "pair" }, dataset ? showDataset(dataset) : el("p", { class: "faint", text: "It kept no dataset." }), showLadder(rungs), showTraining(cycle.detail)),
  );
}

/** Of a cycle that was given up: what it was at. */
function tellStop({ outcome, detail }) {
  const { progress } = detail;
  return outcome === "abandoned" && progress ? `It ended in step ${progress.step} of ${progress.steps}: ${progress.name}.` : "";
}

function showTraining({ gate, losses = {}, steps = [] }) {
  const rows = [
    ...Object.entries(losses).map(([name, loss]) => [`Log-loss of the gate: ${name}`, `${loss.toFixed(4)}${name === gate ? ", chosen" : ""}`]),
    ...steps.map((step) => [`Time for ${step.name}`, showDuration(step.seconds)]),
  ];
  return rows.length ? el("section", {}, el("h3", { text: "Training" }), terms(rows)) : null;
}

function showDataset(dataset) {
  const dropped = Object.entries(dataset.dropped ?? {});
  return el(
    "section",
    {},
    el("h3", { text: "Dataset" }),
    terms([
      ["Digest", el("span", { class: "mono", text: String(dataset.digest ?? "–").slice(0, 12) })],
      ["Answers looked at", showCount(dataset.rows ?? 0)],
      ["Questions learned from", showCount(dataset.questions ?? 0)],
      ["Different answers", showCount(dataset.answers ?? 0)],
      ["New answers given before", showShare(dataset.coverage ?? null)],
      ...dropped.map(([why, count]) => [`Left out: ${why.replaceAll("_", " ")}`, showCount(count)]),
    ]),
  );
}

function showLadder(rungs) {
  const one = (rung) =>
    el(
      "li",
      { class: rung.verdict },
      el("strong", { text: `${rung.name.replaceAll("_", " ")}: ${rung.verdict}` }),
      el("p", { text: rung.sentence }),
      rung.difference === null || rung.difference === undefined ? null : el("p", { class: "faint", text: `difference ${signed(rung.difference)} (${signed(rung.low)} to ${signed(rung.high)}) over ${showCount(rung.questions)} questions` }),
    );
  return el("section", {}, el("h3", { text: "Ladder" }), rungs.length ? el("ol", { class: "ladder" }, ...rungs.map(one)) : el("p", { class: "faint", text: "It came to no decision." }));
}

const signed = (value) => (value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(4)}`);
