"""An explanation as text for people."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from router.deciding.pools import PoolStanding
from router.explain.explanation import Explanation, Facts, Step
from router.explain.reasons import find_reason
from router.meter.money import show_usd
from router.wording import show_share

_EXCERPT_CHARS = 160
_DIGEST_CHARS = 12


def write_text(explanation: Explanation) -> str:
    """Lines under headings; parts that play no part are left out."""
    facts = explanation.facts
    parts = [
        ("", _write_head(explanation)),
        ("Steps", [_write_step(i, step) for i, step in enumerate(explanation.steps, start=1)]),
        ("Dropped", [f"{one.option}: {one.why}" for one in explanation.dropped]),
        ("By chance", list(_write_branches(facts))),
        ("Scores", list(_write_scores(facts))),
        ("Thresholds", list(_write_levels(facts))),
        (_name_promise(facts), list(_write_standing(facts.standing))),
        ("Slices", list(_write_slices(facts))),
        ("Cost", list(_write_costs(facts))),
        ("Recorded", list(_write_record(facts.recorded))),
        ("For another answer", list(explanation.otherwise)),
        ("Notes", list(facts.notes)),
    ]
    written = ["\n".join(_indent(title, lines)) for title, lines in parts if lines]
    return "\n\n".join(written)


def _indent(title: str, lines: Sequence[str]) -> list[str]:
    return [*lines] if not title else [title, *(f"  {line}" for line in lines)]


def _name_promise(facts: Facts) -> str:
    return "Promise" if facts.recorded is None else "Promise, as it stands today"


def _write_head(explanation: Explanation) -> list[str]:
    facts = explanation.facts
    what = "A request that isn't sent" if facts.id is None else f"Interaction {facts.id}"
    named = facts.tier == "teacher" or (facts.tier == "student" and facts.model != "student")
    who = f"{facts.tier} ({facts.model})" if named else facts.tier
    if facts.tier == "none":
        verdict = f"Refused: {facts.reason}."
    elif facts.subject == "interaction":
        verdict = f"Answered by the {who}: {facts.reason}."
    else:
        verdict = f"To be answered by the {who}: {facts.reason}."
    return [
        f"{what} of workload {facts.workload}, policy {facts.policy}",
        verdict,
        explanation.why,
    ]


def _write_step(number: int, step: Step) -> str:
    does = "is asked in the background" if step.background else "answers"
    does = does if step.commit or step.background else "drafts"
    chance = "" if step.propensity == 1.0 else f", probability {step.propensity:.3g}"
    who = step.tier if step.tier == "teacher" or step.rung is None else step.rung
    return f"{number}. {who} {does} ({step.reason}{chance}): {step.sentence}"


def _write_branches(facts: Facts) -> Iterator[str]:
    for branch in facts.branches:
        told = find_reason(branch.reason).sentence if branch.reason == "max_cost_exceeded" else ""
        chance = show_share(branch.probability, 1)
        yield f"{chance}: {branch.tier}, {branch.reason}. {told}".rstrip()


def _write_scores(facts: Facts) -> Iterator[str]:
    if facts.skipped is not None:
        yield f"no draft: {facts.skipped}"
    if facts.confidence is not None:
        yield f"confidence {facts.confidence:.4f}"
    if facts.signals:
        told = (f"{name.replace('_', ' ')} {value:.4f}" for name, value in facts.signals.items())
        yield f"signals: {', '.join(told)}"
    if facts.release is not None:
        yield f"release {facts.release[:_DIGEST_CHARS]}"
    if facts.tier == "teacher" or facts.propensity < 1.0:  # unaudited, it is recorded as 1
        yield f"the teacher's answer becomes known with probability {facts.propensity:.3g}"


def _write_levels(facts: Facts) -> Iterator[str]:
    if facts.threshold is not None:
        yield f"threshold {facts.threshold:.4f}"
    if not facts.levels:
        return
    count = len(facts.levels)
    yield f"level in force: {facts.level_in_force or 'none'} of {count}"
    if facts.level is not None:
        fits = f"from level {facts.level} on" if facts.level <= count else "no level"
        yield f"this draft passes {fits}"
    told = (
        f"{level.number}: {'none' if level.threshold is None else f'{level.threshold:.4f}'}"
        for level in facts.levels
    )
    yield f"by level: {', '.join(told)}"


def _write_standing(standing: Mapping[str, Any] | None) -> Iterator[str]:
    if standing is None:
        return
    over = "all answers" if standing["over"] == "all" else "the student's answers"
    if "accuracy" in standing:
        promised, proven = standing["accuracy"], standing["proven_accuracy"]
        claim = "are right, by verdicts"
    else:
        promised, proven = standing["agreement"], standing["proven_agreement"]
        claim = "agree with the teacher's"
    yield (
        f"{show_share(promised)} of {over} {claim}, at"
        f" {show_share(standing['confidence'])} confidence ({standing['kind']})"
    )
    if proven is None:
        progress = show_share(standing["progress"], 0)
        yield f"nothing is served; {progress} of the first proof is there"
    else:
        yield f"proven now: {show_share(proven)}"
    if standing.get("pool") is not None:
        pool = PoolStanding(**standing["pool"])
        together = ": what is proven is of its workloads together" if pool.borrowed else ""
        yield f"{pool.words}{together}"
    if standing["kind"] == "guarantee":
        yield (
            f"at most {standing['disagreements_at_most']:.1f} disagreements delivered in"
            f" {standing['interactions']} interactions;"
            f" {standing['disagreements_to_spare']:.1f} to spare"
        )
    else:
        yield (
            f"log-wealth of the next level {standing['log_wealth_of_next_level']:.2f},"
            f" {standing['log_wealth_needed']:.2f} accepts it ({standing['interactions']} trials)"
        )
    yield standing["outlook"]["sentence"]


def _write_slices(facts: Facts) -> Iterator[str]:
    """Those that the interaction belongs to first in words, then each one's standing."""
    standings = (facts.standing or {}).get("slices", ())
    if standings:
        yield f"it belongs to: {', '.join(facts.slices) or 'none'}"
    for standing in standings:
        yield f"{standing['slice']}:"
        yield from (f"  {line}" for line in _write_standing(standing))


def _write_costs(facts: Facts) -> Iterator[str]:
    names = {
        "usd": "cost",
        "expected_usd": "expected cost",
        "teacher_usd": "the teacher alone",
    }
    for name, words in names.items():
        if name in facts.costs:
            yield f"{words}: {_show(facts.costs[name])}"


def _show(amount: str | None) -> str:
    return show_usd(None if amount is None else Decimal(amount))


def _write_record(record: Mapping[str, Any] | None) -> Iterator[str]:
    if record is None:
        return
    at = datetime.datetime.fromtimestamp(record["created_at"], datetime.UTC).astimezone()
    yield f"{at:%Y-%m-%d %H:%M:%S}, {record['status']}, {record['latency_ms']:.0f} ms"
    for name in ("text", "answer", "draft", "teacher_answer"):
        if record[name]:
            said = record[name] if isinstance(record[name], str) else _excerpt(record[name])
            yield f"{name.replace('_', ' ')}: {said[:_EXCERPT_CHARS]}"
    for name in ("agreed", "draft_agreed"):
        if record[name] is not None:
            what = "the delivered answer" if name == "agreed" else "the draft"
            verb = "agrees" if record[name] else "disagrees"
            yield f"{what} {verb} with the teacher's (compared as {record['comparer']})"
    for attempt in record["attempts"]:
        ended = attempt["error"] or attempt["status"]
        yield (
            f"attempt: {attempt['model']}, {attempt['purpose']}, {ended},"
            f" {attempt['latency_ms']:.0f} ms, {_show(attempt['cost_usd'])}"
        )


def _excerpt(answer: Mapping[str, Any]) -> str:
    return str(answer.get("content") or answer.get("tool_calls") or answer.get("refusal") or "")
