"""Keeps one certificate or ledger per workload, across requests and restarts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from policies.promise.certificate import Certificate, Terms
from policies.promise.drift import Alarm, Kind, Watch
from policies.promise.ledger import Ledger
from policies.types import Trial
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings

Account = Certificate | Ledger
"""What a promise is kept by: a certificate, or a ledger where a guarantee was asked for."""

CHANGES: Mapping[Kind, str] = MappingProxyType(
    {
        "agreement": "drafts agree with the teacher less often than the gate expects",
        "novelty": "requests lie further from what was learned than they used to",
        "evidence": "drafts are less sure than they used to be",
        "teacher": "the teacher names a version never seen before",
    }
)
"""What an alarm says, for people."""

_WATCH = "watch"
"""Where a stored state holds the watch's."""

_SNAPSHOT_EVERY = 1_000
"""Interactions between two snapshots of a shared account."""

_log = logging.getLogger("tutelage.promise")


@dataclass(kw_only=True)
class _Kept:
    """``upto_seq``: the last interaction that was read from the store; ``snapshot_seq``: the last
    one in the newest snapshot."""

    account: Account
    watch: Watch
    upto_seq: int = 0
    snapshot_seq: int = 0

    def take_in(self, trial: Trial) -> Alarm | None:
        """Evidence first, then what an alarm takes away."""
        self.account.observe(trial)
        alarm = self.watch.observe(trial)
        if alarm is not None and alarm.kind == "agreement":
            self.account.withdraw()
        elif alarm is not None:
            self.account.be_wary()
        return alarm

    def state(self) -> dict[str, Any]:
        return {**self.account.state(), _WATCH: self.watch.state()}

    def snapshot(self) -> PromiseState:
        return PromiseState(terms=self.account.key, state=self.state(), upto_seq=self.upto_seq)


class PromiseKeeper:
    """Certificates and ledgers by workload, each with the watch that looks for drift.

    Used from one event loop only. ``shared``: other workers see interactions of the same workloads.
    Then nothing is taken in before it has been read from the store: in one order, so that all
    workers come to the same state, a second or two late. Only certificates are kept like that.

    Either is restored from the store where the terms are the same, and brought up to date
    with the interactions stored after its snapshot; other terms start afresh, and so does what
    can't be used: nothing is then served until it is proven anew. What was stored before there was
    a watch is used, with a watch that has seen nothing.
    """

    def __init__(self, store: Store, metrics: Metrics, *, shared: bool = False) -> None:
        self._store = store
        self._metrics = metrics
        self._shared = shared
        self._kept: dict[str, _Kept] = {}

    def account(self, workload: str, promise: PromiseSettings) -> Account:
        """The workload's certificate or ledger; the first call for a workload reads the store."""
        found = self._kept.get(workload)
        if found is None:
            terms = Terms(
                agreement=promise.agreement, confidence=promise.confidence, over=promise.over
            )
            empty = Ledger(terms) if promise.guarantee else Certificate(terms)
            found = self._kept[workload] = self._restore(workload, empty)
            self._publish(workload, found.account)
        return found.account

    def observe(self, workload: str, trial: Trial) -> PromiseState | None:
        """Take in one interaction of a workload whose account is kept; returns a snapshot.

        At an alarm it is told why, and the account has been tightened. None where it is shared.
        """
        if self._shared:
            return None
        kept = self._kept[workload]
        self._take_in(workload, kept, trial)
        return kept.snapshot()

    def followed(self) -> dict[str, int]:
        """Every workload with the last interaction that was read of it."""
        return {workload: kept.upto_seq for workload, kept in self._kept.items()}

    def take_in(self, workload: str, trials: Sequence[tuple[int, Trial]]) -> PromiseState | None:
        """Take in what was read from the store, in its order; now and then a snapshot to store."""
        kept = self._kept[workload]
        for seq, trial in trials:
            self._take_in(workload, kept, trial)
            kept.upto_seq = seq
        if kept.upto_seq - kept.snapshot_seq < _SNAPSHOT_EVERY:
            return None
        kept.snapshot_seq = kept.upto_seq
        return kept.snapshot()

    def _take_in(self, workload: str, kept: _Kept, trial: Trial) -> None:
        alarm = kept.take_in(trial)
        if alarm is not None:
            self._metrics.add_drift_alarm(workload, alarm.kind)
            _log.warning("Drift in workload %s: %s; tightened.", workload, CHANGES[alarm.kind])
        self._publish(workload, kept.account)

    def last_alarm(self, workload: str) -> Alarm | None:
        """The newest alarm of a workload, also of one that has long been answered by evidence."""
        kept = self._kept.get(workload)
        return None if kept is None else kept.watch.last

    def release(self, workload: str, share: float) -> None:
        """A check by chance at this share isn't carried out after all."""
        kept = self._kept.get(workload)
        if kept is not None and isinstance(kept.account, Ledger):
            kept.account.release(share)

    def _restore(self, workload: str, empty: Account) -> _Kept:
        stored = self._store.promise_state(workload)
        if self._shared and (stored is None or stored.terms != empty.key):
            # All workers begin where the first of them does.
            fresh = _Kept(account=empty, watch=Watch()).snapshot()
            stored = self._store.begin_promise(workload, fresh)
        if stored is None or stored.terms != empty.key:
            return _Kept(account=empty, watch=Watch())
        try:
            kept = _Kept(
                account=type(empty).restore(empty.terms, stored.state),
                watch=Watch.restore(stored.state[_WATCH]) if _WATCH in stored.state else Watch(),
            )
            kept.upto_seq = kept.snapshot_seq = stored.upto_seq
            for seq, trial in self._store.trials(workload, after_seq=stored.upto_seq):
                kept.take_in(trial)
                kept.upto_seq = seq
        except (LookupError, TypeError, ValueError) as error:
            _log.warning(
                "What was proven for workload %s can't be used (%s): it starts afresh.",
                workload,
                error,
            )
            return _Kept(account=empty, watch=Watch())
        return kept

    def _publish(self, workload: str, account: Account) -> None:
        self._metrics.set_promise(workload, account.terms.agreement, proven_agreement(account))


def proven_agreement(account: Account) -> float:
    """The agreement that is proven now; 1.0 where a certificate lets nothing be served."""
    if isinstance(account, Ledger):
        return account.agreement()
    return account.lower_bound(account.level())
