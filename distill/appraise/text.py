"""An appraisal in sentences, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Iterator

from distill.appraise.appraisal import MIN_DAYS, MONTH_DAYS, Appraisal, Part, to_json
from distill.appraise.forecast import COVERAGE, Forecast, Interval
from distill.wording import count_of
from router.meter.money import show_usd, usd

WHY = {
    "no_release": "no student was trained yet",
    "observe": "nothing was proven yet",
    "below_threshold": "the student was not sure enough",
    "proof": "asked by chance, to check the student",
    "drift": "the traffic had just changed",
    "not_cascadable": "a form or instructions that were not learned",
    "student_unavailable": "no draft came",
    "evidence_missing": "the draft had no confidence",
}
"""Reasons of the gateway in words, of those that a replay can have."""

_ORDER_MATTERS = 0.1


def tell_interval(interval: Interval) -> str:
    """A share with what one further run would lie within."""
    return f"{interval.mean:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def describe(appraisal: Appraisal) -> Iterator[str]:
    """The appraisal line by line."""
    log = appraisal.log
    span = "no times" if appraisal.days is None else _tell_span(appraisal.days)
    yield (
        f"{log.name}: {count_of(len(log.entries), 'answered request')}, {span}, "
        f"cost {show_usd(appraisal.cost_usd)}"
    )
    for reason, count in log.skipped.items():
        yield f"left out: {count} with {reason}"
    for part in appraisal.parts:
        yield ""
        yield from describe_part(part)
    yield ""
    yield describe_month(appraisal)


def describe_part(part: Part) -> Iterator[str]:
    """One workload's sentences."""
    measured = part.profile
    yield f"{part.label}"
    yield (
        f"  {count_of(measured.interactions, 'request')}, cost {show_usd(measured.cost_usd)}, "
        f"{measured.different_answers} different answers compared as {measured.comparer}"
    )
    near = "" if measured.near_repeats is None else f", {measured.near_repeats:.0%} nearly"
    yield f"  asked before: {measured.exact_repeats:.0%} in the same words{near}"
    if measured.self_agreement is not None:
        yield (
            f"  asked again in the same words, the teacher agreed with itself "
            f"{measured.self_agreement:.1%} of {count_of(measured.asked_again, 'time')}"
        )
    if part.forecast is None:
        yield f"  nothing is predicted: {part.declined}"
    else:
        yield from describe_forecast(part.forecast)


def describe_forecast(found: Forecast) -> Iterator[str]:
    """What a student would have taken, and what keeps it from more."""
    yield (
        f"  a student would have answered {tell_interval(found.served)} of "
        f"{count_of(found.interactions, 'request')} under a promise of {found.promise:.0%}, "
        f"and {tell_interval(found.later)} of the later half"
    )
    yield (
        f"  in {found.runs} replays the promise held {found.held} times, agreement was at "
        f"least {found.agreement_low:.1%}; intervals are for one further run, at {COVERAGE:.0%}"
    )
    if found.saving is None:
        yield "  the saving is unknown: the log has no costs; give --input-usd and --output-usd"
    else:
        yield f"  saving {tell_interval(found.saving)}, with every check and the warm-up counted"
    if abs(found.mixed - found.served.mean) > _ORDER_MATTERS:
        yield (
            f"  the order matters: the same requests in random order would have let it answer "
            f"{found.mixed:.1%}; topics come one after the other here, or changed"
        )
    yield "  in the later half the teacher answered because"
    for reason, share in found.reasons.items():
        yield f"    {share:6.1%}  {WHY.get(reason, reason)}"
    if found.staying:
        yield "  what stays with the teacher most, by its answer:"
    for staying in found.staying:
        yield (
            f"    {staying.share:4.0%} of {staying.interactions}  {staying.answer}: "
            f"“{staying.example}”"
        )


def describe_month(appraisal: Appraisal) -> str:
    """What a month would cost and save, or why that can't be told."""
    month = to_json(appraisal)["month"]
    if month is not None:
        saved = month["saved_usd"]
        return (
            f"A month at this pace: {count_of(month['interactions'], 'request')}, "
            f"{_usd(month['cost_usd'])}; saved {_usd(saved['mean'])} "
            f"({_usd(saved['low'])} to {_usd(saved['high'])})."
        )
    if appraisal.days is None:
        return "A month can't be told from this log: its entries have no times."
    if appraisal.per_month is None:
        return (
            f"A month can't be told from {_tell_span(appraisal.days)}: "
            f"it takes {MIN_DAYS:.0f} days to tell {MONTH_DAYS}."
        )
    return "A month's cost can't be told: the log has no costs; give --input-usd and --output-usd."


def _usd(amount: float) -> str:
    return show_usd(usd(str(round(amount, 12))))


def _tell_span(days: float) -> str:
    if days >= 2:
        return f"{days:.0f} days"
    return f"{days * 24:.0f} hours" if days * 24 >= 2 else f"{days * 1440:.0f} minutes"
