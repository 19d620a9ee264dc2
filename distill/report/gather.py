"""The figures of a report, JSON-ready: money as decimals in text, shares 0..1, null for unknown.

Everything comes from the store and the configuration and nothing from the clock, in an order that
is fixed: the same period gives the same bytes once it is over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any, Final

from distill.report.period import Period
from policies.types import Tier
from router.deciding.promise import CHANGES
from router.meter.money import plain_usd, usd
from router.record.checks import Checks, estimate_agreement
from router.record.model import Interaction, ReleaseEvent
from router.record.overview import Figures
from router.record.period import Grouping
from router.record.redact import Redactor
from router.record.store import Store
from router.settings.model import Settings
from router.workload import find_settings

_MOST_DISAGREEMENTS = 10
_EXCERPT_CHARS = 200
_ONE_STEP_S = 1.0
_PUT_IN_FORCE: Final = ("promoted", "rolled_back")
_BY_PART: Final[tuple[Grouping, ...]] = ("workload", "tenant")
_BY_RELEASE: Final[tuple[Grouping, ...]] = ("workload", "release")
_EVERYTHING = Redactor(("email", "phone", "card", "iban", "secret"))


def gather(store: Store, settings: Settings, period: Period) -> dict[str, Any]:
    """All of a report."""
    start, end, before = period.start_s, period.end_s, period.before
    return {
        "from": period.first.isoformat(),
        "to": period.end.isoformat(),
        "before": {"from": before.first.isoformat(), "to": before.end.isoformat()},
        "total": {"now": _sum_up(store, period), "before": _sum_up(store, before)},
        "weeks": [
            {"from": week.first.isoformat(), "to": week.end.isoformat(), **_sum_up(store, week)}
            for week in (*before.weeks(), *period.weeks())
        ],
        "parts": _list_parts(store, settings, period),
        "models": [
            {
                "model": one.model,
                "purpose": one.purpose,
                "calls": one.calls,
                "prompt_tokens": one.prompt_tokens,
                "completion_tokens": one.completion_tokens,
                "cost_usd": plain_usd(one.cost_usd),
                "unknown": one.unknown,
            }
            for one in store.calls_between(start, end)
        ],
        "reasons": [
            {"tier": tier.value, "reason": reason, "interactions": count}
            for (tier, reason), count in store.reasons_between(start, end).items()
        ],
        "releases": _list_releases(store, period),
        "training": _sum_up_training(store, settings, period),
        "alarms": [
            {
                "workload": one.workload,
                "kind": one.kind,
                "changed": CHANGES[one.kind],
                "at": one.at,
                # What came later changes nothing in a period that is over.
                "ended_at": one.ended_at if one.ended_at and one.ended_at < end else None,
            }
            for one in store.alarms_between(start, end)
        ],
        "withheld": [
            {
                "workload": one.workload,
                "interactions": one.interactions,
                "first_at": one.first_at,
                "last_at": one.last_at,
            }
            for one in store.spells_between(start, end, "drift")
        ],
        "disagreements": [
            _write_disagreement(one)
            for one in store.disagreements_between(start, end, _MOST_DISAGREEMENTS)
        ],
    }


def _sum_up(store: Store, period: Period) -> dict[str, Any]:
    """Of all interactions of a period."""
    figures = store.figures_between(period.start_s, period.end_s)
    checks = store.checks_between(period.start_s, period.end_s)
    return _write_figures(figures.get(()), checks.get(()))


def _sum_up_training(store: Store, settings: Settings, period: Period) -> dict[str, Any]:
    """Of the cycles that began in the period; ``cost_usd``: None without a price for a core."""
    core_seconds = store.core_seconds(start=period.start_s, end=period.end_s)
    price = settings.learning.usd_per_core_hour
    cost = None if price is None else usd(price * Decimal(core_seconds) / 3600)
    return {"core_seconds": core_seconds, "cost_usd": _write_usd(cost)}


def _list_parts(store: Store, settings: Settings, period: Period) -> list[dict[str, Any]]:
    """By workload and tenant; what was there in the period before and is no more, too."""
    now = store.figures_between(period.start_s, period.end_s, _BY_PART)
    checks = store.checks_between(period.start_s, period.end_s, _BY_PART)
    earlier, last = period.before, period.before.end_s
    before = store.figures_between(earlier.start_s, last, _BY_PART)
    checks_before = store.checks_between(earlier.start_s, last, _BY_PART)
    found = []
    for group in sorted({*now, *before}, key=lambda one: [part or "" for part in one]):
        workload, tenant = group
        written = _write_figures(now.get(group), checks.get(group))
        found.append(
            {
                "workload": workload,
                "tenant": tenant,
                "now": written,
                "before": _write_figures(before.get(group), checks_before.get(group)),
                "promise": _judge(settings, workload or "", written["agreement"]),
            }
        )
    return found


def _write_figures(figures: Figures | None, checks: Checks | None) -> dict[str, Any]:
    """``cost_usd`` and ``teacher_cost_usd`` are sums over what is known; ``saving`` compares where
    both are."""
    if figures is None:
        return {"interactions": 0, "agreement": None}
    return {
        "interactions": figures.interactions,
        "by_tier": {tier.value: figures.by_tier[tier] for tier in Tier},
        "errors": figures.errors,
        "cost_usd": plain_usd(figures.cost_usd),
        "unknown_costs": figures.interactions - figures.priced,
        "teacher_cost_usd": plain_usd(figures.teacher_cost_usd),
        "cost_each_usd": _write_usd(figures.cost_per_interaction),
        "saving": figures.saving,
        "saved_usd": plain_usd(figures.compared_teacher_cost_usd - figures.compared_cost_usd),
        "escalated": figures.share(Tier.TEACHER),
        "agreement": None if checks is None else estimate_agreement(checks),
    }


def _judge(
    settings: Settings, workload: str, agreement: Mapping[str, Any] | None
) -> dict[str, Any] | None:
    """Whether the promise that is configured now was kept over the period, by its checks: None
    where none about agreement is; ``kept`` or ``broken`` only where the whole interval says so."""
    configured = find_settings(settings, workload)
    if configured is None or configured.promise is None or configured.promise.agreement is None:
        return None
    wanted, over = configured.promise.agreement, configured.promise.over
    measured = None if agreement is None else agreement[over]
    verdict = "not measured"
    if measured is not None:
        verdict = "within the interval"
        if measured["low"] >= wanted:
            verdict = "kept"
        elif measured["high"] < wanted:
            verdict = "broken"
    return {"agreement": wanted, "over": over, "verdict": verdict}


def _list_releases(store: Store, period: Period) -> list[dict[str, Any]]:
    """What was done to releases, and for each that came into force what its workload did in the
    period under it and under the one before."""
    numbers = {one.digest: one.number for one in store.releases()}
    figures = store.figures_between(period.start_s, period.end_s, _BY_RELEASE)
    checks = store.checks_between(period.start_s, period.end_s, _BY_RELEASE)

    def write(workload: str, digest: str | None) -> dict[str, Any] | None:
        key = (workload, digest)
        return None if digest is None else _write_figures(figures.get(key), checks.get(key))

    in_force: dict[str, str] = {}
    found = []
    for event in _drop_replaced(store.release_events()):
        effective = event.action in _PUT_IN_FORCE
        if period.start_s <= event.at < period.end_s:
            under = event.digest if effective else None
            earlier = in_force.get(event.workload) if effective else None
            found.append(
                {
                    **asdict(event),
                    "number": numbers.get(event.digest),
                    "under_it": write(event.workload, under),
                    "under_the_one_before": write(event.workload, earlier),
                }
            )
        if effective:
            in_force[event.workload] = event.digest
    return found


def _drop_replaced(events: Sequence[ReleaseEvent]) -> Iterator[ReleaseEvent]:
    """Without the retirement of a release whose place another took in the same step: that one's
    event tells it."""
    for place, event in enumerate(events):
        following = events[place + 1] if place + 1 < len(events) else None
        replaced = (
            event.action == "retired"
            and following is not None
            and following.workload == event.workload
            and following.action in _PUT_IN_FORCE
            and following.at - event.at < _ONE_STEP_S
        )
        if not replaced:
            yield event


def _write_disagreement(one: Interaction) -> dict[str, Any]:
    """Texts are redacted of every kind of personal data, whatever was redacted when stored."""
    return {
        "id": one.id,
        "workload": one.workload,
        "tenant": one.tenant,
        "at": one.created_at,
        "served": one.tier is not Tier.TEACHER,
        "confidence": one.confidence,
        "asked": _excerpt(one.input_text),
        "draft": _excerpt(_say(one.draft)),
        "teacher": _excerpt(_say(one.teacher_answer)),
    }


def _say(answer: Mapping[str, Any] | None) -> str:
    if answer is None:
        return ""
    calls = [
        f"{call.get('name')}({call.get('arguments')})" for call in answer.get("tool_calls") or ()
    ]
    return " ".join([answer.get("content") or answer.get("refusal") or "", *calls]).strip()


def _excerpt(text: str) -> str:
    shown = " ".join(_EVERYTHING.text(text).split())
    return shown if len(shown) <= _EXCERPT_CHARS else shown[: _EXCERPT_CHARS - 1] + "…"


def _write_usd(amount: Decimal | None) -> str | None:
    return None if amount is None else plain_usd(amount)
