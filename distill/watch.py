"""The periodic loop beside the gateway: look for new answers, learn, promote, look again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

from distill.cycle import run_cycle
from distill.dataset import MIN_ANSWERS
from distill.dataset.erasing import Withdrawn, expire
from distill.drift import Drift, find_drift
from distill.learner import Learner, Outcome
from distill.trigger import count_needed
from router.record.learning import cycle_lease
from router.record.model import Cycle
from router.record.store import Store
from router.retention import oldest_kept
from router.settings.model import Settings

_log = logging.getLogger("tutelage.distill")

_RECENT = 20
_UNDONE = (None, "failed", "abandoned", "busy")
"""Outcomes of cycles that learned nothing from the answers they saw."""

_RETRY_S = 300.0

SWEEP_EVERY_S = 3600.0
"""Between two looks for what is too old to be kept."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a workload stands between two cycles.

    ``answers``: trainable answers now; ``needed``: how many start the next cycle; ``ready_at``:
    seconds since the epoch before which none starts, by the schedule. ``drifted``: an alarm fell
    since the last cycle began, so that one is due without new answers, and before its time.
    ``on_trial``: a release is being tried on live traffic; no other is made meanwhile.
    """

    workload: str
    answers: int
    needed: int
    ready_at: float
    drifted: bool = False
    on_trial: bool = False

    def is_due(self, now: float) -> bool:
        """Enough new answers or a drift, and the schedule allows it."""
        enough = self.answers >= (MIN_ANSWERS if self.drifted else self.needed)
        return enough and now >= self.ready_at and not self.on_trial


def survey(store: Store, settings: Settings) -> list[Standing]:
    """All workloads with answers that may be learned from, sorted."""
    tried = {release.workload for release in store.staged()}
    return [
        replace(_stand(store, settings, workload, answers), on_trial=workload in tried)
        for workload, answers in sorted(store.answers_by_workload().items())
    ]


def _stand(store: Store, settings: Settings, workload: str, answers: int) -> Standing:
    recent = store.cycles(_RECENT, workload)
    last = next(iter(recent), None)
    ended = next((cycle for cycle in recent if cycle.outcome not in _UNDONE), None)
    learning = settings.learning
    drift = find_drift(store, workload) if learning.on_drift else Drift()
    drifted = ended is not None and drift.alarm_at is not None and drift.alarm_at > ended.started_at
    since = None
    if drift.changed_seq is not None:
        since = store.count_answers_after(workload, drift.changed_seq)
    before = 0 if ended is None else ended.answers_seen
    return Standing(
        workload=workload,
        answers=answers,
        needed=count_needed(before, learning.min_new_answers, since),
        ready_at=_find_ready_at(
            last,
            _RETRY_S if drifted else learning.every,
            store.leased_until(cycle_lease(workload)),
        ),
        drifted=drifted,
    )


def _find_ready_at(last: Cycle | None, every_s: float, leased_until: float) -> float:
    """By the schedule; while a cycle runs, or was killed, when its lease ends."""
    if last is None:
        return 0.0
    if last.ended_at is None:
        return leased_until
    if last.detail.get("unfinished"):
        return last.ended_at + min(every_s, _RETRY_S)
    return last.ended_at + (max(every_s, _RETRY_S) if last.outcome in _UNDONE else every_s)


def sweep(learner: Learner, now: float) -> list[Withdrawn]:
    """Let go of what ``data.retention_days`` allows no longer: records, and datasets with such.

    The gateway purges records too; where learning goes on without one, nobody else would.
    """
    oldest = oldest_kept(learner.settings.data.retention_days, now)
    learner.store.purge_before(oldest)
    return [] if learner.datasets is None else expire(learner.datasets, oldest, now)


def run_due(learner: Learner, now: float) -> Iterable[Outcome]:
    """One cycle for each workload that is due; a cycle that fails doesn't stop the others."""
    for standing in survey(learner.store, learner.settings):
        if not standing.is_due(now):
            continue
        try:
            yield run_cycle(learner, standing.workload)
        except Exception as error:  # noqa: BLE001 - whatever fails, the loop goes on
            _log.exception("The cycle of %s failed", standing.workload)
            yield Outcome(
                workload=standing.workload,
                result="failed",
                sentence=f"{standing.workload}: the cycle failed: {error}",
            )
