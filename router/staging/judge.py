"""From a stage to what follows: the next share, the next stage, in force, or out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from router.record.model import Release
from router.record.stages import Kind
from router.record.store import Store
from router.staging.stage import SIGNALS, Plan, Stage

_DAY_S = 86_400.0
_SHORTEST_S = 60.0
_Z95 = 1.96

Verdict = Literal["passed", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What a stage came to. ``rungs``: decisions to keep; ``to``: as ``move_stage`` takes it."""

    rungs: tuple[Mapping[str, Any], ...]
    to: tuple[Kind, Mapping[str, Any]] | Literal["active", "rejected", "candidate"]
    reason: str


def begin(store: Store, plan: Plan, in_force: str, now: float, workload: str) -> Judged:
    """The first stage that a candidate has to go through; ``to`` is "active" where there is none,
    and the rungs say why."""
    if plan.shadow:
        stage = Stage(kind="shadow", plan=plan, in_force=in_force, began_at=now)
        reason = f"drafts unseen beside the release in force, {plan.shadow} times at most"
        return Judged(rungs=(), to=("shadow", stage.state()), reason=reason)
    skipped = write_skip("shadow", "The configuration leaves it out.")
    judged = begin_canary(store, plan, in_force, now, workload)
    return replace(judged, rungs=(skipped, *judged.rungs))


def begin_canary(store: Store, plan: Plan, in_force: str, now: float, workload: str) -> Judged:
    """The canary from the first share on that the traffic can power."""
    if not plan.shares:
        skipped = write_skip("canary", "The configuration leaves it out.")
        return Judged(rungs=(skipped,), to="active", reason=skipped["sentence"])
    per_hour = measure_traffic(store, workload, now)
    powered = [one for one in plan.shares if plan.each <= per_hour * one * plan.within_s / 3600.0]
    left_out = [one for one in plan.shares if one not in powered]
    rungs = []
    if left_out:
        shares = ", ".join(f"{one:.0%}" for one in left_out)
        sentence = (
            f"Left out at {shares} of the traffic: about {per_hour:.0f} drafts an hour are"
            f" compared, and {plan.each} of the candidate's are needed within"
            f" {plan.within_s / 3600:g} h."
        )
        if not powered:
            sentence += " Safety rests on the certificate."
        rungs.append(write_skip("canary", sentence))
    if not powered:
        return Judged(rungs=tuple(rungs), to="active", reason=str(rungs[0]["sentence"]))
    stage = Stage(
        kind="canary",
        plan=replace(plan, shares=tuple(powered)),
        in_force=in_force,
        began_at=now,
    )
    return Judged(rungs=tuple(rungs), to=("canary", stage.state()), reason=_tell_share(stage))


def measure_traffic(store: Store, workload: str, now: float) -> float:
    """Drafts compared with the teacher's answer an hour, over the last day."""
    count, first = store.count_compared(workload, now - _DAY_S)
    span_s = max(_SHORTEST_S, now - (first if first is not None else now))
    return 3600.0 * count / span_s


def judge(store: Store, release: Release, now: float) -> Judged | None:
    """What a release on trial comes to now; None: it goes on."""
    stage = Stage.restore(release.report["stage"])
    worse = stage.find_worse()
    if worse is not None:
        rung = _write_rung(stage, "failed", f"{_where(stage)}: {SIGNALS[worse]}", worse)
        return Judged(rungs=(rung,), to="rejected", reason=rung["sentence"])
    if stage.kind == "shadow":
        return _judge_shadow(store, release.workload, stage, now)
    return _judge_canary(stage, now)


def _judge_shadow(store: Store, workload: str, stage: Stage, now: float) -> Judged | None:
    compared = stage.candidate.compared
    if stage.is_no_worse():
        rung = _write_rung(stage, "passed", f"No worse in {compared} comparisons")
    elif compared >= stage.plan.shadow:
        rung = _write_rung(stage, "skipped", f"{compared} comparisons don't tell; none speaks up")
    elif now - stage.began_at >= _DAY_S:
        rung = _write_rung(
            stage, "skipped", f"A day brought {compared} of {stage.plan.shadow} comparisons"
        )
    else:
        return None
    judged = begin_canary(store, stage.plan, stage.in_force, now, workload)
    return replace(judged, rungs=(rung, *judged.rungs))


def _judge_canary(stage: Stage, now: float) -> Judged | None:
    late = now - stage.began_at >= 2 * stage.plan.within_s
    if stage.at_step < stage.plan.each and not late:
        return None
    if stage.step + 1 < len(stage.plan.shares):
        onward = replace(stage, step=stage.step + 1, at_step=0, began_at=now)
        return Judged(rungs=(), to=("canary", onward.state()), reason=_tell_share(onward))
    verdict: Verdict = "passed" if stage.is_no_worse() else "skipped"
    said = "No worse" if verdict == "passed" else "Nothing got worse, which proves little yet"
    sentence = f"{said} in {stage.candidate.compared} comparisons up to {stage.share:.0%}"
    rung = _write_rung(stage, verdict, sentence)
    return Judged(rungs=(rung,), to="active", reason=rung["sentence"])


def _where(stage: Stage) -> str:
    return "In the shadow" if stage.kind == "shadow" else f"At {stage.share:.0%} of the traffic"


def _tell_share(stage: Stage) -> str:
    return f"drafts for {stage.share:.0%} of the traffic"


def write_skip(name: str, sentence: str) -> dict[str, Any]:
    """A rung that nobody climbed, and why."""
    return {"name": name, "verdict": "skipped", "sentence": sentence, "questions": 0}


def _write_rung(
    stage: Stage, verdict: Verdict, said: str, signal: str = "agreement"
) -> dict[str, Any]:
    """A decision with what it rests on. ``difference``: of the share that is well, candidate minus
    release in force, as in the other rungs."""
    test = stage.tests[signal]
    mean, error = test.estimate()
    # Never "-0.0".
    better, half = 0.0 - mean, _Z95 * error
    figures = (
        f"{100 * better:+.1f} points ({100 * (better - half):+.1f} to {100 * (better + half):+.1f})"
    )
    return {
        "name": stage.kind,
        "verdict": verdict,
        "sentence": f"{said}: {figures}.",
        "questions": stage.candidate.compared,
        "difference": better,
        "low": better - half,
        "high": better + half,
        "signal": signal,
        "share": stage.share,
        "interactions": test.trials,
        "candidate": vars(stage.candidate),
        "in_force": vars(stage.other),
    }
