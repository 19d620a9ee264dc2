"""From a workload's figures to one of four actions. Pure: no file, no model, no clock.

The rules, first that fits:

1. The teacher is often wrong and the right answers are at hand → fine-tune on them.
2. Even saving everything would not pay for setting it up → leave.
3. The teacher's answers may not be learned from → route.
4. A student could be proven on hardly any of it, since it is diverse → route.
5. What distilling saves over the horizon exceeds what it costs → distill, else leave.

"Route" means to choose among models as they are, request by request: a smaller one
where it will do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum

POOR_TEACHER = 0.85
"""A teacher whose accuracy lies below this, with 95 % confidence, is poor."""

ENOUGH_GOLD = 300
DIVERSE = 0.15
"""A student that can be proven on less than this share isn't worth training."""

CHECKED = 0.1
"""Share of what is served that checks take back, about: see docs/promise.md."""

_Z95 = 1.959964


class Action(StrEnum):
    """What to do with a workload."""

    DISTILL = "distill"
    ROUTE = "route"
    FINE_TUNE = "fine-tune"
    LEAVE = "leave"


@dataclass(frozen=True, kw_only=True)
class Point:
    """Of the learning curve: a student trained on ``answers``; held out, it agrees with the teacher
    on ``agreement`` of the questions, and may be proven to keep the promise on ``share``."""

    answers: int
    agreement: float
    share: float


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A workload in numbers; money in USD. ``per_day``: interactions; ``teacher_usd``,
    ``student_usd``: of one answer; ``setup_usd``: once; ``cycle_usd``: of a training, of which
    there are ``cycles_per_month``; ``horizon_days``: over which it must pay.
    ``gold``: right answers at hand, ``teacher_accuracy`` against them, None without.
    ``curve``: by rising number of answers.
    """

    per_day: float
    teacher_usd: float
    student_usd: float
    setup_usd: float
    cycle_usd: float
    cycles_per_month: float
    horizon_days: float
    licensed: bool
    curve: Sequence[Point]
    gold: int = 0
    teacher_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """``break_even_day``: when distilling has paid for itself, None if not within ten horizons;
    ``net_usd``: what distilling leaves over the horizon; ``share``: that a student would answer."""

    action: Action
    reason: str
    share: float
    net_usd: float
    break_even_day: float | None


def decide(figures: Figures) -> Advice:
    """The action, with the sentence that says why."""
    share = _expected_share(figures)
    saved_per_day = figures.per_day * share * (figures.teacher_usd - figures.student_usd)
    costs_per_day = figures.cycle_usd * figures.cycles_per_month / 30.0
    starts_day = _first_served(figures) / figures.per_day if figures.per_day else math.inf
    serving_days = max(figures.horizon_days - starts_day, 0.0)
    net = saved_per_day * serving_days - costs_per_day * figures.horizon_days - figures.setup_usd
    action, reason = _choose(figures, share, net)
    return Advice(
        action=action,
        reason=reason,
        share=share,
        net_usd=net,
        break_even_day=_break_even(figures, starts_day, saved_per_day, costs_per_day),
    )


def _choose(figures: Figures, share: float, net: float) -> tuple[Action, str]:
    spent = figures.per_day * figures.teacher_usd * figures.horizon_days
    horizon = f"{figures.horizon_days:.0f} days"
    if _is_poor(figures):
        return Action.FINE_TUNE, (
            f"the teacher is right in {figures.teacher_accuracy:.0%} of {figures.gold} cases, so a "
            "copy would learn its mistakes: train on the right answers that are at hand"
        )
    if spent <= figures.setup_usd:
        return Action.LEAVE, (
            f"the teacher takes ${spent:,.2f} in {horizon}, less than setting anything up would"
        )
    if not figures.licensed:
        return Action.ROUTE, (
            "the teacher's answers may not be learned from: choose among models as they are, or "
            "set distillation: allowed if its terms allow that"
        )
    if share < DIVERSE:
        return Action.ROUTE, (
            f"a student could be proven on {share:.0%} of it: the requests are too diverse to "
            "learn, so choose among models as they are"
        )
    if net <= 0.0:
        return Action.LEAVE, (
            f"a student would answer {share:.0%} and still cost ${-net:,.2f} more in {horizon} "
            "than it saves"
        )
    return Action.DISTILL, (
        f"a student would answer {share:.0%} and leave ${net:,.2f} in {horizon} after its costs"
    )


def _is_poor(figures: Figures) -> bool:
    """The accuracy's upper end, at 95 %, is below what a teacher should have."""
    accuracy, gold = figures.teacher_accuracy, figures.gold
    if accuracy is None or gold < ENOUGH_GOLD:
        return False
    return accuracy + _Z95 * math.sqrt(accuracy * (1.0 - accuracy) / gold) < POOR_TEACHER


def _expected_share(figures: Figures) -> float:
    """At the end of the curve, what checks take back taken off; it isn't extrapolated."""
    return figures.curve[-1].share * (1.0 - CHECKED) if figures.curve else 0.0


def _first_served(figures: Figures) -> float:
    """Answers that are needed before anything is proven, as far as the curve's points show."""
    return next((point.answers for point in figures.curve if point.share > 0.0), math.inf)


def _break_even(
    figures: Figures, starts_day: float, saved_per_day: float, costs_per_day: float
) -> float | None:
    if saved_per_day <= costs_per_day or math.isinf(starts_day):
        return None
    owed = figures.setup_usd + costs_per_day * starts_day
    day = starts_day + owed / (saved_per_day - costs_per_day)
    return day if day <= 10 * figures.horizon_days else None


@dataclass(frozen=True, kw_only=True)
class Turned:
    """What becomes of the advice when one figure is ``factor`` times as large."""

    figure: str
    factor: float
    action: Action
    break_even_day: float | None
    net_usd: float


_TURNED = (
    *("per_day", "teacher_usd", "student_usd", "setup_usd"),
    *("cycle_usd", "cycles_per_month", "horizon_days", "share"),
)


def vary(figures: Figures) -> Iterator[Turned]:
    """Each figure halved and doubled, the others as they are; those that are 0 stay out."""
    for name in _TURNED:
        for factor in (0.5, 2.0):
            changed = _scale(figures, name, factor)
            if changed is None:
                continue
            advice = decide(changed)
            yield Turned(
                figure=name,
                factor=factor,
                action=advice.action,
                break_even_day=advice.break_even_day,
                net_usd=advice.net_usd,
            )


def _scale(figures: Figures, name: str, factor: float) -> Figures | None:
    if name == "share":
        curve = [replace(one, share=min(one.share * factor, 1.0)) for one in figures.curve]
        return replace(figures, curve=curve) if any(one.share for one in curve) else None
    known = {field.name: getattr(figures, field.name) for field in fields(figures)}
    return replace(figures, **{name: known[name] * factor}) if known[name] else None
