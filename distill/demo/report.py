"""What the demo was: its result as JSON, and the closing table.

A line per interaction, as in a replay: the answer is the one that the client got, the rest is
from the gateway's record.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from distill.demo.processes import DemoError
from distill.demo.teacher import usage_of
from distill.demo.traffic import Received
from distill.replay.line import Line, line_of
from distill.replay.result import summarize
from distill.replay.terms import claim
from distill.streams import StreamRow
from policies.intervals import wilson
from policies.types import Tier
from router.meter.money import show_usd
from router.meter.prices import cost_of
from router.record.model import Interaction
from router.record.store import Store
from router.settings.model import PromiseSettings, Settings
from router.wire.openai import answer_to_json

_PATIENCE_S = 60.0
_POLL_S = 0.1
_FIFTH = 5
_CENT = Decimal("0.01")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a demo leaves behind. ``rows`` and ``received``: in the order of the traffic."""

    stream: str
    seed: int
    settings: Settings
    rows: Sequence[StreamRow]
    received: Sequence[Received]
    began_at: float
    seconds: float
    dashboard: str


async def read_records(store: Store, received: Sequence[Received]) -> dict[str, Interaction]:
    """The records of all interactions that have an id, by it, once the store has them.

    Raises DemoError where it doesn't get them.
    """
    found: dict[str, Interaction] = {}
    missing = [one.id for one in received if one.id is not None]
    until_s = time.perf_counter() + _PATIENCE_S
    while missing:
        for id_ in missing:
            record = await asyncio.to_thread(store.interaction, id_)
            if record is not None:
                found[id_] = record
        missing = [id_ for id_ in missing if id_ not in found]
        if missing and time.perf_counter() > until_s:
            raise DemoError(
                f"{len(missing)} interactions were never recorded; free some disk and try again."
            )
        await asyncio.sleep(_POLL_S if missing else 0)
    return found


def build_lines(evidence: Evidence, records: dict[str, Interaction]) -> list[Line]:
    """A line per interaction, in the order of the traffic."""
    lines = []
    for row, one in zip(evidence.rows, evidence.received, strict=True):
        record = None if one.id is None else records[one.id]
        lines.append(_failed(row) if record is None else _line(evidence.settings, row, one, record))
    return lines


def _line(settings: Settings, row: StreamRow, one: Received, record: Interaction) -> Line:
    """Costs are what the gateway reckoned; what the teacher would have cost is exact, since the
    stream knows the tokens of what it wasn't asked."""
    teacher = settings.teacher
    as_seen = replace(
        record,
        answer=None if one.answer is None else answer_to_json(one.answer),
        teacher_cost_usd=cost_of(usage_of(row), None if teacher is None else teacher.price),
        teacher_cost_estimated=False,
    )
    unpriced = replace(row, teacher=replace(row.teacher, cost_usd=None))
    return line_of(as_seen, unpriced, record.comparer)


def _failed(row: StreamRow) -> Line:
    """Nothing was delivered, and nothing is known of what it cost."""
    return Line(
        id=row.id,
        draft=None,
        final=None,
        tier="none",
        asked=False,
        background=False,
        propensity=1.0,
        score=None,
        threshold=None,
        agreed=False,
        release=None,
        cost_usd=None,
        teacher_cost_usd=None,
        correct=None,
        teacher_correct=None,
        reason="failed",
        workload=row.workload or "",
    )


def compose_result(evidence: Evidence, lines: Sequence[Line], store: Store) -> dict[str, Any]:
    """The replay's result, with what only a live run has."""
    promise = shared_promise(evidence.settings, lines)
    ended_at = max(one.ended_at for one in evidence.received)
    promoted = [
        release
        for release in store.releases()
        if release.promoted_at is not None and evidence.began_at <= release.promoted_at <= ended_at
    ]
    result = summarize(
        lines,
        stream=evidence.stream,
        seed=evidence.seed,
        promise=None if promise is None else promise.agreement,
        confidence=None if promise is None else promise.confidence,
        claims=claim(evidence.settings, lines),
        releases=sum(release.promoted_at is not None for release in store.releases()),
        seconds=evidence.seconds,
    )
    first, last = fifths(lines)
    return result | {
        "agreement_interval": wilson(sum(line.agreed for line in lines), len(lines)),
        "first_saved_cent": find_first_saved(evidence, lines),
        "failed": sum(one.error is not None for one in evidence.received),
        "streamed": sum(one.streamed for one in evidence.received),
        "promoted_under_traffic": len(promoted),
        "start": describe_part(first),
        "end": describe_part(last),
        "start_cost_usd": describe_part(first)["cost_usd"],
        "end_cost_usd": describe_part(last)["cost_usd"],
        "dashboard": evidence.dashboard,
    }


def find_first_saved(
    evidence: Evidence, lines: Sequence[Line], amount: Decimal = _CENT
) -> dict[str, Any] | None:
    """After how many ``interactions``, and ``seconds`` of traffic, so much had been saved.

    Saved is what the teacher would have cost less what was paid, checks included; an interaction
    of unknown cost saves nothing. None where it never came to that.
    """
    saved, ended_at = Decimal(0), evidence.began_at
    for count, (line, one) in enumerate(zip(lines, evidence.received, strict=True), start=1):
        ended_at = max(ended_at, one.ended_at)
        if line.cost_usd is not None and line.teacher_cost_usd is not None:
            saved += line.teacher_cost_usd - line.cost_usd
        if saved >= amount:
            return {"interactions": count, "seconds": round(ended_at - evidence.began_at, 1)}
    return None


def shared_promise(settings: Settings, lines: Sequence[Line]) -> PromiseSettings | None:
    """The promise in force, where all workloads of the traffic share it."""
    names = {line.workload for line in lines}
    promises = {one.promise for one in settings.workloads if one.name in names and one.promise}
    return promises.pop() if len(promises) == 1 else None


def fifths(lines: Sequence[Line]) -> tuple[Sequence[Line], Sequence[Line]]:
    """The first and the last fifth; at least one line each."""
    size = max(1, len(lines) // _FIFTH)
    return lines[:size], lines[-size:]


def describe_part(lines: Sequence[Line]) -> dict[str, Any]:
    """Shares per tier, agreement, and USD per interaction (None where one is unknown).

    ``agreement_served``: that of the student's answers; None where it gave none.
    """
    served = [line.agreed for line in lines if line.tier == Tier.STUDENT]
    costs = [line.cost_usd for line in lines if line.cost_usd is not None]
    known = len(costs) == len(lines)
    return {
        "tiers": {
            str(tier): sum(line.tier == tier for line in lines) / len(lines) for tier in Tier
        },
        "agreement": sum(line.agreed for line in lines) / len(lines),
        "agreement_served": sum(served) / len(served) if served else None,
        "cost_usd": float(sum(costs, Decimal(0)) / len(costs)) if known else None,
    }


def write_table(result: dict[str, Any], lines: Sequence[Line]) -> str:
    """The closing table."""
    whole = describe_part(lines)
    parts = [result["start"], result["end"], whole]
    table: list[tuple[str, ...]] = [("", "first fifth", "last fifth", "all")]
    table += [
        (f"answered by the {tier}", *(_percent(part["tiers"][tier]) for part in parts))
        for tier in ("student", "teacher")
    ]
    table.append(("cost per interaction", *(_money(part["cost_usd"]) for part in parts)))
    table += [
        ("agreement", *(_percent(part["agreement"]) for part in parts)),
        (
            "agreement of the student's answers",
            *(_percent(part["agreement_served"]) for part in parts),
        ),
    ]
    low, high = result["agreement_interval"]
    facts = [
        (
            "interactions",
            f"{result['n']:,} in {result['seconds']:.0f} s, {result['streamed']:,} of them "
            f"streamed, {result['failed']:,} failed",
        ),
        ("releases", f"{result['promoted_under_traffic']} promoted under traffic"),
        ("saving", _describe_saving(result)),
        ("first cent", _describe_first(result["first_saved_cent"])),
        ("agreement", f"{result['agreement']:.2%} (95 % interval {low:.1%} to {high:.1%})"),
        ("promise", _describe_promise(result)),
    ]
    rows = [f"  {name:<34}{start:>13}{end:>13}{all_:>13}" for name, start, end, all_ in table]
    rows.append("")
    rows += [f"  {name:<16}{text}" for name, text in facts]
    return "\n".join(rows)


def _describe_saving(result: dict[str, Any]) -> str:
    if result["saving"] is None:
        return "unknown: give the teacher's price in a configuration (--config FILE)"
    return (
        f"{result['saving']:.1%}: {_money(result['cost_usd'])} instead of "
        f"{_money(result['teacher_cost_usd'])}"
    )


def _describe_first(first: dict[str, Any] | None) -> str:
    if first is None:
        return "not saved yet"
    return f"saved after {first['interactions']:,} interactions, {first['seconds']:.0f} s"


def _describe_promise(result: dict[str, Any]) -> str:
    if result["promise"] is None:
        return "none that all of this traffic shares"
    verdict = "held" if result["promise_held"] else "BROKEN"
    if result["promise_held"] and not result["served_by_student"]:
        verdict = "held: the student served nothing yet"
    return f"{result['promise']:.1%} at {result['confidence']:.0%} confidence: {verdict}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _money(amount: float | None) -> str:
    return show_usd(None if amount is None else Decimal(str(amount)))
