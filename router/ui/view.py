"""The dashboard's view: everything that the page shows, JSON-ready.

``None`` means unknown. Money is ``{usd, text}``: the exact amount as a decimal string, and as
people read it. Times are seconds since the epoch, shares 0..1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from policies.types import Tier
from router.deciding.outlook import Outlook
from router.errors import NotFound
from router.record.checks import estimate_agreement
from router.record.model import Cycle, Interaction, Json, Release, ReleaseEvent
from router.record.overview import Figures
from router.record.store import Store
from router.settings.model import Settings
from router.ui.notes import SinkReading, find_notes
from router.ui.standing import AccountReading, describe_workloads
from router.ui.summary import (
    NOW,
    describe_alarms,
    describe_measured,
    describe_spending,
    describe_tiers,
    find_common_target,
    find_targets,
    write_money,
)

_SLICES = 50
_MOST_WORKLOADS = 200
_MOST_RELEASES = 8
_MOST_CYCLES = 8
_LATEST = 15
_EXCERPT_CHARS = 160
_MOST_DETAILS = 6
_NO_OUTLOOKS: Final[Mapping[str, Outlook]] = {}
_DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")


def build_view(
    store: Store,
    settings: Settings,
    workload: str | None,
    *,
    readings: Mapping[str, AccountReading],
    sink: SinkReading,
    at: float,
    outlooks: Mapping[str, Outlook] = _NO_OUTLOOKS,
) -> dict[str, Any]:
    """All of ``workload``, or of all of them. Blocks. Raises NotFound for one that nobody knows."""
    store.roll_up()
    store.sum_up_ledger()
    figures, targets = store.figures_by_workload(), find_targets(settings)
    names = sorted({*figures, *(one.name for one in settings.workloads)})
    if workload is not None and workload not in names:
        raise NotFound("No such workload: it has no interactions and isn't configured.")
    totals = store.totals(workload)
    answers = store.answers_by_workload()
    now = store.newest_figures(NOW, workload)
    standings = describe_workloads(settings, readings, store.active_releases(), workload, outlooks)
    return {
        "at": at,
        "workload": workload,
        "workloads": names[:_MOST_WORKLOADS],
        "more_workloads": max(0, len(names) - _MOST_WORKLOADS),
        "notes": find_notes(settings, totals, sink),
        "totals": write_figures(totals),
        "series": [write_figures(figures) for figures in store.series(workload, _SLICES)],
        "now": write_figures(now),
        "target": write_money(find_common_target(targets, figures, workload)),
        "spending": describe_spending(store, settings, totals, workload),
        "tiers": describe_tiers(store, now, workload),
        "estimate": None if totals.checks is None else estimate_agreement(totals.checks),
        "alarms": describe_alarms(store, workload),
        "standings": [
            one | describe_measured(figures.get(one["workload"]), targets.get(one["workload"]))
            for one in standings
        ],
        "answers": sum(answers.values()) if workload is None else answers.get(workload, 0),
        "waiting": sink.waiting,
        **_learned(store, workload),
        "latest": [
            _write_interaction(one, with_text=len(settings.keys) <= 1)
            for one in store.latest(_LATEST, workload)
        ],
    }


def write_figures(figures: Figures) -> dict[str, Any]:
    """Figures as the page reads them.

    Where no teacher's answer is priced, the cost is unknown: what is known then are only the
    drafts, which cost nothing.
    """
    known = bool(figures.priced and figures.teacher_priced)
    return {
        "interactions": figures.interactions,
        "by_tier": {tier.value: figures.by_tier[tier] for tier in Tier},
        "errors": figures.errors,
        "priced": figures.priced,
        "teacher_priced": figures.teacher_priced,
        "teacher_estimated": figures.teacher_estimated,
        "cost_each": write_money(figures.cost_per_interaction if known else None),
        "teacher_cost_each": write_money(figures.teacher_cost_per_interaction),
        "saving": figures.saving,
        "compared_cost": write_money(figures.compared_cost_usd if known else None),
        "compared_teacher_cost": write_money(figures.compared_teacher_cost_usd if known else None),
        "agreement": figures.agreement,
        "measured": figures.measured,
        "first_at": figures.first_at,
        "last_at": figures.last_at,
    }


def _learned(store: Store, workload: str | None) -> dict[str, Any]:
    releases = store.releases(workload)
    last = {event.digest: event for event in store.release_events(workload)}
    cycles = store.cycles(_MOST_CYCLES, workload)
    return {
        "releases": [
            _write_release(one, last.get(one.digest)) for one in releases[:_MOST_RELEASES]
        ],
        "more_releases": max(0, len(releases) - _MOST_RELEASES),
        "cycles": [_write_cycle(one) for one in cycles],
    }


def _write_release(release: Release, event: ReleaseEvent | None) -> dict[str, Any]:
    return {
        "workload": release.workload,
        "number": release.number,
        "digest": release.digest,
        "state": release.state,
        "created_at": release.created_at,
        "promoted_at": release.promoted_at,
        "why": None if event is None else _shorten(release.workload, event.reason),
    }


def _write_cycle(cycle: Cycle) -> dict[str, Any]:
    return {
        "workload": cycle.workload,
        "started_at": cycle.started_at,
        "ended_at": cycle.ended_at,
        "outcome": cycle.outcome,
        "answers_seen": cycle.answers_seen,
        "detail": _shorten(cycle.workload, _tell(cycle.detail)),
    }


def _shorten(workload: str, sentence: str) -> str:
    """Without what its line of the table says already, and with digests as they stand there."""
    return _DIGEST.sub(r"\1", sentence.removeprefix(f"{workload}: "))


def _tell(detail: Mapping[str, Json]) -> str:
    """A cycle's own sentence or error, else its plain values as ``name value``."""
    for name in ("sentence", "error"):
        if isinstance(detail.get(name), str):
            return str(detail[name])
    words = []
    for name, value in detail.items():
        if isinstance(value, float):
            words.append(f"{name} {value:.4g}")
        elif isinstance(value, int):  # true and false are ints, too
            words.append(f"{name} {json.dumps(value)}")
        elif isinstance(value, str):
            words.append(f"{name} {value[:_EXCERPT_CHARS]}")
    return " · ".join(words[:_MOST_DETAILS])


def _write_interaction(one: Interaction, *, with_text: bool) -> dict[str, Any]:
    """``with_text``: a key must not show the prompts of another one's callers."""
    return {
        "id": one.id,
        "at": one.created_at,
        "workload": one.workload,
        "text": one.input_text[:_EXCERPT_CHARS] if with_text else None,
        "tier": one.tier.value,
        "reason": one.reason,
        "status": one.status,
        "confidence": one.confidence,
        "threshold": one.threshold,
        "cost": write_money(one.cost_usd),
        "latency_ms": one.latency_ms,
        "agreed": one.agreed,
        "draft_agreed": one.draft_agreed,
    }
