"""The periodic loop beside the gateway: look for new answers, learn, promote, look again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from distill.cycle import Learner, Outcome, run_cycle
from distill.trigger import count_needed
from router.record.store import Store
from router.settings.model import Settings

_log = logging.getLogger("tutelage.distill")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where a workload stands between two cycles.

    ``answers``: trainable answers now; ``needed``: how many start the next cycle; ``ready_at``:
    seconds since the epoch before which none starts, by the schedule.
    """

    workload: str
    answers: int
    needed: int
    ready_at: float

    def is_due(self, now: float) -> bool:
        """Enough new answers, and the schedule allows it."""
        return self.answers >= self.needed and now >= self.ready_at


def survey(store: Store, settings: Settings) -> list[Standing]:
    """All workloads with answers that may be learned from, sorted."""
    standings = []
    for workload, answers in sorted(store.answers_by_workload().items()):
        last = next(iter(store.cycles(1, workload)), None)
        before = 0 if last is None else last.answers_seen
        ended_at = 0.0 if last is None else last.ended_at or last.started_at
        standings.append(
            Standing(
                workload=workload,
                answers=answers,
                needed=count_needed(before, settings.learning.min_new_answers),
                ready_at=0.0 if last is None else ended_at + settings.learning.every,
            )
        )
    return standings


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
