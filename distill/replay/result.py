"""The figures of a replay, from its lines.

All but the claims, the count of releases and the seconds follow from the lines alone, exactly:
sums of money are Decimal, a share is one division, nothing is rounded in between. None means
unknown, never zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import accumulate
from typing import Any, Final

from distill.replay.line import Line, TraceError, line_of, read_trace, write_trace
from policies.types import Tier

__all__ = [
    "Claim",
    "Line",
    "SliceTerms",
    "TraceError",
    "line_of",
    "read_trace",
    "summarize",
    "write_trace",
]

WINDOW: Final = 1_000
"""Length of the windows of ``agreement_worst_window``, in queries."""
CURVE_POINTS: Final = 50


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the system claimed of the queries from ``start``, counted from 0, up to before ``end``.

    ``at_least``: agreement; ``over``: all | served; ``kind``: exchangeable | guaranteed; ``slice``:
    only those of this slice are meant, None: all; ``pool``: only those that were evidence for this
    pool.
    """

    at_least: float
    confidence: float
    over: str
    kind: str
    start: int
    end: int
    slice: str | None = None
    pool: str | None = None


@dataclass(frozen=True, kw_only=True)
class SliceTerms:
    """What was promised of a slice of a workload; ``confidence``: its part of the workload's."""

    workload: str
    name: str
    agreement: float
    confidence: float

    def holds(self, line: Line) -> bool:
        """The line is of this slice."""
        return line.workload == self.workload and self.name in line.slices


def summarize(
    lines: Sequence[Line],
    *,
    stream: str,
    seed: int | None,
    promise: float | None,
    confidence: float | None,
    claims: Sequence[Claim],
    releases: int,
    seconds: float,
    slices: Sequence[SliceTerms] = (),
) -> dict[str, Any]:
    """The replay's result, ready for ``json.dumps``; ``stream``: its name as the user gave it.

    - A share of nothing (``agreement_recalled`` where nothing was recalled, say) is None.
    - ``agreement_worst_window``: the lowest agreement of 1,000 consecutive queries, of which the
      first is the first with a release or a later one; None where there are no such windows.
    - ``accuracy``, ``teacher_accuracy``: None unless known for every line. Which answers can be
      judged depends on who gave them, so an average over some would mislead.
    - ``cost_usd``, ``teacher_cost_usd``: sums, None unless every line has it. ``saving``: 1 −
      cost/teacher's cost; None where either is None or the teacher costs nothing.
    - ``second_half``: from line ``n // 2``, counted from 0, on.
    - ``slices``: the same of the queries of each slice, whose promise is its own; only where there
      are any.
    - ``curve``: after ``i`` queries, everything so far: at most 50 points, the last at ``n``.
    """
    n = len(lines)
    served = [line for line in lines if line.tier == Tier.STUDENT]
    recalled = [line for line in lines if line.tier == Tier.RECALL]
    agreement = _share(line.agreed for line in lines)
    cost_usd = _sum_of([line.cost_usd for line in lines])
    teacher_cost_usd = _sum_of([line.teacher_cost_usd for line in lines])
    return {
        "stream": stream,
        "n": n,
        "seed": seed,
        "promise": promise,
        "confidence": confidence,
        "asked": sum(line.asked for line in lines),
        "asked_rate": _share(line.asked for line in lines),
        "audited": sum(line.asked and line.background for line in lines),
        "served_by_student": len(served),
        "served_by_recall": len(recalled),
        "agreement": agreement,
        "agreement_served": _share(line.agreed for line in served),
        "agreement_recalled": _share(line.agreed for line in recalled),
        "agreement_worst_window": _worst_window(lines),
        "promise_held": None if promise is None or agreement is None else agreement >= promise,
        "certified": [_write_claim(claim) for claim in claims],
        "accuracy": _share(line.correct for line in lines),
        "teacher_accuracy": _share(line.teacher_correct for line in lines),
        "cost_usd": _number(cost_usd),
        "teacher_cost_usd": _number(teacher_cost_usd),
        "saving": _saving(cost_usd, teacher_cost_usd),
        "second_half": _summarize_half(lines[n // 2 :]),
        "releases": releases,
        "seconds": seconds,
        "curve": _curve(lines),
    } | ({"slices": [_summarize_slice(lines, one) for one in slices]} if slices else {})


def _summarize_half(half: Sequence[Line]) -> dict[str, Any]:
    return {
        "asked_rate": _share(line.asked for line in half),
        "agreement": _share(line.agreed for line in half),
    }


def _summarize_slice(lines: Sequence[Line], terms: SliceTerms) -> dict[str, Any]:
    inside = [line for line in lines if terms.holds(line)]
    agreement = _share(line.agreed for line in inside)
    served = [line for line in inside if line.tier == Tier.STUDENT]
    return {
        "workload": terms.workload,
        "slice": terms.name,
        "n": len(inside),
        "promise": terms.agreement,
        "confidence": terms.confidence,
        "asked_rate": _share(line.asked for line in inside),
        "served_by_student": len(served),
        "agreement": agreement,
        "agreement_served": _share(line.agreed for line in served),
        "promise_held": None if agreement is None else agreement >= terms.agreement,
    }


def _share(flags: Iterable[bool | None]) -> float | None:
    """The share of true ones; None for none at all, and where one of them is unknown."""
    known = list(flags)
    if not known or None in known:
        return None
    return known.count(True) / len(known)


def _sum_of(amounts: Sequence[Decimal | None]) -> Decimal | None:
    """The exact sum; None where there is nothing to add, or something unknown."""
    sums = _running_sums(amounts)
    return sums[-1] if sums else None


def _running_sums(amounts: Iterable[Decimal | None]) -> list[Decimal | None]:
    """The sum up to each amount; None from the first unknown one on."""
    total: Decimal | None = Decimal(0)
    sums = []
    with localcontext(prec=60):  # exact, whatever context the caller has set
        for amount in amounts:
            total = None if total is None or amount is None else total + amount
            sums.append(total)
    return sums


def _number(amount: Decimal | None) -> float | None:
    """The nearest float, which is what JSON's readers make of any number."""
    return None if amount is None else float(amount)


def _saving(cost_usd: Decimal | None, teacher_cost_usd: Decimal | None) -> float | None:
    if cost_usd is None or not teacher_cost_usd:
        return None
    return float(1 - Fraction(cost_usd) / Fraction(teacher_cost_usd))


def _worst_window(lines: Sequence[Line]) -> float | None:
    first = next((i for i, line in enumerate(lines) if line.release is not None), len(lines))
    agreed = list(accumulate((line.agreed for line in lines), initial=0))
    windows = [agreed[i + WINDOW] - agreed[i] for i in range(first, len(lines) - WINDOW + 1)]
    return min(windows) / WINDOW if windows else None


def _curve(lines: Sequence[Line]) -> list[dict[str, Any]]:
    n = len(lines)
    asked = list(accumulate(line.asked for line in lines))
    agreed = list(accumulate(line.agreed for line in lines))
    costs_usd = _running_sums(line.cost_usd for line in lines)
    points = sorted({n * k // CURVE_POINTS for k in range(1, CURVE_POINTS + 1)} - {0})
    return [
        {
            "i": i,
            "asked_rate": asked[i - 1] / i,
            "agreement": agreed[i - 1] / i,
            "cost_usd": _number(costs_usd[i - 1]),
        }
        for i in points
    ]


def _write_claim(claim: Claim) -> dict[str, Any]:
    written = {
        "at_least": claim.at_least,
        "confidence": claim.confidence,
        "over": claim.over,
        "kind": claim.kind,
        "from": claim.start,
        "to": claim.end,
    }
    narrowed = {"slice": claim.slice, "pool": claim.pool}
    return written | {name: value for name, value in narrowed.items() if value is not None}
