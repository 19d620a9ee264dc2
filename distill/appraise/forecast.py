"""What a student would have taken over: the log replayed through the code that serves and learns.

Prequential, so nothing is judged on what it was trained on: every request is answered before its
recorded answer can be learned from, and becomes known only where the teacher is asked. Several
runs differ in their coins and in the order of requests that came close together; what one further
run would reach lies within the interval.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import t as student_t

from distill.appraise.log import Logged
from distill.replay.line import Line
from distill.replay.result import summarize
from distill.replay.run import order, replay
from distill.replay.terms import settings_for
from distill.streams import StreamRow
from policies.compare import get_comparer
from policies.types import Tier
from router.settings.model import PromiseSettings, Settings
from router.students.encoder import Encoder
from router.wire.openai import input_text, shape_of

MIN_ROWS = 500
"""Of fewer, a student has hardly begun to learn; nothing is predicted from them."""

MIN_RUNS = 2
COVERAGE = 0.95
"""Of the intervals: the chance that one further run lies within."""

_PARTS = 10
"""Of a log; requests of one part might as well have come in another order. What changes in the
course of the log, such as its topics, stays in its place."""

_MOST_LISTED = 10
_SHOWN_CHARS = 120

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Of one further run, with chance ``COVERAGE``."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Staying:
    """Requests of the later half that share a teacher's answer. ``share``: of them, those that the
    teacher answered; ``example``: one that stayed."""

    answer: str
    interactions: int
    share: float
    example: str


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Shares of all interactions; ``later``: served in the second half; ``mixed``: served where the
    same requests come in a random order, in one run; ``saving``: None where costs are unknown.
    ``agreement_low``: the lowest of the runs; ``held``: runs that kept the promise; ``reasons``:
    why the teacher answered, in the second half of the first run, which has the log's own order;
    ``curve``: of the first run.
    """

    promise: float
    confidence: float
    runs: int
    interactions: int
    served: Interval
    asked: Interval
    later: Interval
    saving: Interval | None
    agreement_low: float
    held: int
    mixed: float
    reasons: dict[str, float]
    staying: Sequence[Staying]
    curve: Sequence[dict[str, Any]]


def forecast(
    entries: Sequence[Logged],
    settings: Settings,
    promise: PromiseSettings,
    *,
    comparer: str,
    runs: int,
    seed: int,
    encoder: Encoder,
    progress: Progress,
) -> Forecast:
    """``entries``: one workload's, in the order in which they came; at least ``MIN_ROWS``."""
    rows = [entry.row for entry in entries]
    terms = settings_for(rows, settings, promise)

    def run(seed: int, ordered: Sequence[StreamRow]) -> tuple[dict[str, Any], Sequence[Line]]:
        replayed = asyncio.run(
            replay(ordered, terms, seed=seed, progress=progress, encoder=encoder)
        )
        result = summarize(
            replayed.lines,
            stream="",
            seed=seed,
            promise=promise.agreement,
            confidence=promise.confidence,
            claims=(),
            releases=replayed.releases,
            seconds=replayed.seconds,
        )
        return result, replayed.lines

    found = [run(seed, rows)]
    found += [run(seed + i, reorder(rows, seed + i)) for i in range(1, runs)]
    results = [result for result, _ in found]
    mixed, _ = run(seed + runs, order(rows, seed=seed + runs, shuffle=True))
    n = len(rows)
    lines = found[0][1][n // 2 :]
    savings = [result["saving"] for result in results]
    return Forecast(
        promise=promise.at_least,
        confidence=promise.confidence,
        runs=runs,
        interactions=n,
        served=predict([result["served_by_student"] / n for result in results], n),
        asked=predict([result["asked_rate"] for result in results], n),
        later=predict([_served_share(found_lines[n // 2 :]) for _, found_lines in found], n // 2),
        saving=None if None in savings else predict(savings, n),
        agreement_low=min(result["agreement"] for result in results),
        held=sum(result["promise_held"] for result in results),
        mixed=mixed["served_by_student"] / n,
        reasons=_share_of_reasons(lines),
        staying=_list_staying(lines, {entry.row.id: entry for entry in entries}, comparer),
        curve=results[0]["curve"],
    )


def reorder(rows: Sequence[StreamRow], seed: int) -> list[StreamRow]:
    """Each tenth of the rows in a random order, the tenths in their own."""
    chance = random.Random(f"order {seed}")
    ordered: list[StreamRow] = []
    for part in range(_PARTS):
        ends = len(rows) * part // _PARTS, len(rows) * (part + 1) // _PARTS
        near = list(rows[slice(*ends)])
        chance.shuffle(near)
        ordered += near
    return ordered


def predict(shares: Sequence[float], n: int) -> Interval:
    """Where one further run's share lies, at ``COVERAGE``.

    Student's t over the runs, whose spread is the coins' and the order's; added is what ``n`` other
    requests of the same kind would vary by. Needs at least ``MIN_RUNS``.
    """
    count = len(shares)
    mean = sum(shares) / count
    spread = sum((share - mean) ** 2 for share in shares) / (count - 1)
    within = max(mean * (1.0 - mean), 0.0) / n
    reach = float(student_t.ppf((1.0 + COVERAGE) / 2.0, count - 1))
    half = reach * math.sqrt(spread * (1.0 + 1.0 / count)) + 1.96 * math.sqrt(within)
    return Interval(mean=mean, low=max(mean - half, 0.0), high=min(mean + half, 1.0))


def _served_share(lines: Sequence[Line]) -> float:
    return sum(line.tier == Tier.STUDENT for line in lines) / len(lines)


def _share_of_reasons(lines: Sequence[Line]) -> dict[str, float]:
    counts = Counter(line.reason for line in lines if line.tier == Tier.TEACHER)
    return {reason: count / len(lines) for reason, count in counts.most_common()}


def _list_staying(
    lines: Iterable[Line], entries: dict[str, Logged], comparer: str
) -> list[Staying]:
    """The answers under which most requests stay with the teacher, most first."""
    judge = get_comparer(comparer)
    groups: defaultdict[str | None, list[Line]] = defaultdict(list)
    for line in lines:
        entry = entries[line.id]
        groups[judge.key(entry.row.teacher.answer, shape_of(entry.row.body))].append(line)
    found = []
    for key, members in groups.items():
        stayed = [line for line in members if line.tier == Tier.TEACHER]
        if stayed and len(groups) < len(entries) / 4:  # else nearly every answer is its own
            row = entries[stayed[0].id].row
            example = " ".join(input_text(row.body).split())
            told = row.teacher.answer.content or "a call of a tool"
            found.append(
                Staying(
                    answer="no comparable answer" if key is None else told[:_SHOWN_CHARS],
                    interactions=len(members),
                    share=len(stayed) / len(members),
                    example=example[:_SHOWN_CHARS],
                )
            )
    found.sort(key=lambda one: -one.share * one.interactions)
    return found[:_MOST_LISTED]
