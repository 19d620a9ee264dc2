"""What a new operator must see within a minute, beside the figures in total: where the money went,
how fast answers come, what was aimed at, and what the watch found."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from policies.types import Tier
from router.deciding.promise import CHANGES
from router.meter.money import plain_usd, show_usd, usd
from router.record.checks import estimate_agreement
from router.record.latency import Quantiles
from router.record.overview import Figures
from router.record.store import Store
from router.settings.model import Settings

NOW: Final = 1_000
"""The newest interactions that "now" is about."""

_PACED: Final = 5_000
"""The newest interactions whose latencies are looked at."""

_MOST_ALARMS: Final = 8
_PARTS: Final = {
    "answers": ("answer", "hedge"),
    "checks": ("proof", "audit"),
    "student": ("draft", "shadow"),
}
"""What money goes to, by what attempts were for."""

_SECONDS_PER_HOUR: Final = 3600


def write_money(amount: Decimal | None) -> dict[str, str] | None:
    """The exact amount, and as people read it."""
    return None if amount is None else {"usd": plain_usd(amount), "text": show_usd(amount)}


def describe_spending(
    store: Store, settings: Settings, totals: Figures, workload: str | None
) -> dict[str, Any]:
    """Where the money went: ``answers`` of the teacher, random ``checks``, the ``student``'s calls,
    and ``training`` (None without a price); ``unknown``: calls whose cost is; ``core_seconds`` that
    training took; ``net_usd``, ``net``: what was saved after all of them, and as a share of what
    the teacher alone would have cost, where both are known."""
    purposes = store.costs_by_purpose(workload)
    core_seconds = store.core_seconds(workload)
    price = settings.learning.usd_per_core_hour
    training = None
    if price is not None:
        training = usd(price * Decimal(core_seconds) / _SECONDS_PER_HOUR)
    parts = {
        part: sum((purposes[one].cost_usd for one in names if one in purposes), Decimal(0))
        for part, names in _PARTS.items()
    }
    teacher = totals.compared_teacher_cost_usd
    net = teacher - totals.compared_cost_usd - (training or Decimal(0)) if teacher else None
    return {
        **{part: write_money(amount) for part, amount in parts.items()},
        "training": write_money(training),
        "core_seconds": core_seconds,
        "unknown": sum(one.unknown for one in purposes.values()),
        "net_usd": write_money(net),
        "net": None if net is None else float(net / teacher),
    }


def describe_tiers(store: Store, now: Figures, workload: str | None) -> list[dict[str, Any]]:
    """By tier its share of the newest answers (``now``), and how long its answers took: ``whole``
    and ``first_token`` with ``p50`` and ``p95`` in milliseconds, None where there are none."""
    paces = store.paces(_PACED, workload)
    found = []
    for tier in (Tier.STUDENT, Tier.RECALL, Tier.TEACHER):
        pace = paces.get(tier)
        if pace is None and not now.by_tier[tier]:
            continue
        found.append(
            {
                "tier": tier.value,
                "share": now.share(tier),
                "whole": None if pace is None else _write_quantiles(pace.whole),
                "first_token": None if pace is None else _write_quantiles(pace.first_token),
            }
        )
    return found


def _write_quantiles(of: Quantiles | None) -> dict[str, Any] | None:
    return None if of is None else dict(vars(of))


def describe_alarms(store: Store, workload: str | None) -> list[dict[str, Any]]:
    """The newest alarms, newest first."""
    return [
        {
            "workload": one.workload,
            "kind": one.kind,
            "text": CHANGES[one.kind],
            "at": one.at,
            "ended_at": one.ended_at,
        }
        for one in store.alarms(_MOST_ALARMS, workload)
    ]


def find_targets(settings: Settings) -> dict[str, Decimal]:
    """What an interaction is to cost, by workload: its budget for one, whatever decides there."""
    return {
        one.name: one.budget.usd_per_interaction
        for one in settings.workloads
        if one.budget is not None and one.budget.usd_per_interaction is not None
    }


def find_common_target(
    targets: Mapping[str, Decimal], figures: Mapping[str, Figures], workload: str | None
) -> Decimal | None:
    """The target of a workload; of all of them the one that they share, or the mean by their
    interactions, None where one that has traffic has none: nothing is then said of all together."""
    if workload is not None:
        return targets.get(workload)
    if len(set(targets.values())) == 1:
        return next(iter(targets.values()))
    count = sum(one.interactions for one in figures.values())
    if not count or not set(figures) <= set(targets):
        return None
    return usd(sum(targets[name] * one.interactions for name, one in figures.items()) / count)


def describe_measured(figures: Figures | None, target: Decimal | None) -> dict[str, Any]:
    """Of one workload, for its line: what an interaction costs, is to cost, and how many agree."""
    if figures is None or not figures.interactions:
        return {"cost_each": None, "target": write_money(target), "estimate": None}
    return {
        "cost_each": write_money(figures.cost_per_interaction if figures.teacher_priced else None),
        "target": write_money(target),
        "estimate": None if figures.checks is None else estimate_agreement(figures.checks),
        "escalated": figures.share(Tier.TEACHER),
        "interactions": figures.interactions,
    }
