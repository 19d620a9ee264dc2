"""The store → what a workload's releases brought, and what its next cycle is weighed by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from distill.next.asking import TARGETED
from distill.next.payback import Gain, Spared, Terms, find_gain
from policies.types import Tier
from router.record.model import Release
from router.record.store import Store

_DAY_S = 86_400.0
_RELEASES = 3
_NEWEST = 1_000
"""Of a release's interactions: while a promise is young, nothing is spared yet."""

_CYCLES = 1_000
_LEARNED = ("promoted", "on_trial", "rejected")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A release that was in force, and what it spared of its newest interactions."""

    number: int
    release: str
    spared: Spared
    created_at: float


@dataclass(frozen=True, kw_only=True)
class History:
    """The last releases with enough interactions, oldest first; ``cycles``: how many it took from
    the first of them until now; 0 where there is none to compare with."""

    stages: Sequence[Stage]
    cycles: int = 0

    @property
    def now(self) -> float | None:
        """The share that is spared now; None where it can't be told."""
        return self.stages[-1].spared.share if self.stages else None

    @property
    def gain(self) -> Gain | None:
        """What a cycle brought; None where it can't be told."""
        if len(self.stages) < 2 or not self.cycles:
            return None
        return find_gain(self.stages[0].spared, self.stages[-1].spared, self.cycles)


def read_history(store: Store, workload: str) -> History:
    """What the last three releases with enough interactions spared."""
    stages: list[Stage] = []
    releases = sorted(store.releases(workload), key=lambda one: -one.number)
    for release in releases:
        if release.promoted_at is not None and len(stages) < _RELEASES:
            stage = _measure(store, release)
            if stage.spared.known:
                stages.append(stage)
    stages.reverse()
    if len(stages) < 2:
        return History(stages=stages)
    # Rejected cycles cost as much and brought nothing. An adopted adapter had no cycle here.
    ran = sum(
        cycle.outcome in _LEARNED and cycle.started_at >= stages[0].created_at
        for cycle in store.cycles(_CYCLES, workload)
    )
    steps = sum(a.number < b.number for a, b in pairwise(stages))
    return History(stages=stages, cycles=max(ran, steps))


def _measure(store: Store, release: Release) -> Stage:
    """Of all traffic from the release's first draft to its last: what nobody drafted counts too,
    since a day's interactions do."""
    seen = [
        (one.release, one.tier is Tier.STUDENT and not (one.seen or one.audited))
        for one in store.decisions(release.workload, release.digest)
        if one.release in (None, release.digest) and one.reason != TARGETED
    ]
    while seen and seen[-1][0] is None:
        seen.pop()
    newest = seen[-_NEWEST:]
    return Stage(
        number=release.number,
        release=release.digest,
        spared=Spared(interactions=len(newest), spared=sum(spared for _, spared in newest)),
        created_at=release.created_at,
    )


def find_terms(
    store: Store,
    workload: str,
    history: History,
    *,
    cycle_usd: float,
    shelf_days: float,
    per_day: float | None,
) -> Terms:
    """What the next cycle is weighed by. ``per_day``: None takes it from the record, which must
    span a day."""
    figures = store.totals(workload)
    if per_day is None and figures.first_at is not None and figures.last_at is not None:
        days = (figures.last_at - figures.first_at) / _DAY_S
        per_day = figures.interactions / days if days >= 1 else None
    total_usd, answers = store.teacher_costs().get(workload, (None, 0))
    return Terms(
        per_day=per_day,
        teacher_usd=float(total_usd) / answers if total_usd is not None and answers else None,
        cycle_usd=cycle_usd,
        shelf_days=shelf_days,
        now=history.now,
        gain=history.gain,
    )
