"""What the watch's alarms mean for learning: when to learn at once, and which answers are old.

A cycle follows on any alarm. Where drafts began to disagree with the teacher, what it said before
may no longer be what it says. Answers from before that moment keep the trust that the newer ones
leave them (``distill.trust``), a tenth at least. Where questions aren't encoded, since drafts come
from elsewhere, nothing can be compared: there all of them are trusted a tenth as much as those
since. They are not left out: a change seldom touches everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.record.store import Store

OLD_TRUST = 0.1
"""How much an answer from before a change counts at least."""

_WATCH = "watch"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """``alarm_at``: when the last alarm fell, in seconds since the epoch; None: it isn't known any
    more. ``changed_seq``: the last interaction before drafts began to disagree with the teacher;
    None: there was no alarm about that, or all from before it is purged. ``earlier``: the same of
    earlier alarms, the newest last."""

    alarm_at: float | None = None
    changed_seq: int | None = None
    earlier: tuple[int, ...] = ()

    @property
    def changes(self) -> tuple[int, ...]:
        """All of them, the newest last."""
        return self.earlier if self.changed_seq is None else (*self.earlier, self.changed_seq)


def find_drift(store: Store, workload: str) -> Drift:
    """What the store knows of a workload's alarms; nothing where it keeps no promise."""
    stored = store.promise_state(workload)
    watch = None if stored is None else stored.state.get(_WATCH)
    if stored is None or not isinstance(watch, Mapping):
        return Drift()
    return locate(store, workload, watch, stored.upto_seq)


def locate(
    store: Store, workload: str, watch: Mapping[str, Any], upto_seq: int | None = None
) -> Drift:
    """Where the alarms of a watch's state lie among the stored interactions.

    ``upto_seq``: the last that the watch has seen; None: all.
    """
    last, changed, trials = watch.get("last"), watch.get("changed"), int(watch["trials"])
    alarm = None
    if last is not None:
        alarm = store.trial_from_end(workload, trials - int(last["trial"]), upto_seq)
    before = [
        None if not trial else store.trial_from_end(workload, trials - int(trial), upto_seq)
        for trial in (*watch.get("earlier", ()), changed)
    ]
    return Drift(
        alarm_at=None if alarm is None else alarm[1],
        changed_seq=None if before[-1] is None else before[-1][0],
        earlier=tuple(found[0] for found in before[:-1] if found is not None),
    )
