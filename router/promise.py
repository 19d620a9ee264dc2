"""Keeps one certificate or ledger per workload, across requests and restarts."""

from __future__ import annotations

import logging

from policies.promise.certificate import Certificate, Terms
from policies.promise.ledger import Ledger
from policies.types import Trial
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings

Account = Certificate | Ledger
"""What a promise is kept by: a certificate, or a ledger where a guarantee was asked for."""

_log = logging.getLogger("tutelage.promise")


class PromiseKeeper:
    """Certificates and ledgers by workload. Used from one event loop only.

    Either is restored from the store where the terms are the same, and brought up to date
    with the interactions stored after its snapshot; other terms start afresh, and so does what
    can't be used: nothing is then served until it is proven anew.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._kept: dict[str, Account] = {}

    def account(self, workload: str, promise: PromiseSettings) -> Account:
        """The workload's certificate or ledger; the first call for a workload reads the store."""
        found = self._kept.get(workload)
        if found is None:
            terms = Terms(
                agreement=promise.agreement, confidence=promise.confidence, over=promise.over
            )
            empty = Ledger(terms) if promise.guarantee else Certificate(terms)
            found = self._kept[workload] = self._restore(workload, empty)
            self._publish(workload, found)
        return found

    def observe(self, workload: str, trial: Trial) -> PromiseState:
        """Take in one interaction of a workload whose account is kept; returns a snapshot."""
        account = self._kept[workload]
        account.observe(trial)
        self._publish(workload, account)
        return PromiseState(terms=account.key, state=account.state())

    def release(self, workload: str, share: float) -> None:
        """A check by chance at this share isn't carried out after all."""
        account = self._kept.get(workload)
        if isinstance(account, Ledger):
            account.release(share)

    def _restore(self, workload: str, empty: Account) -> Account:
        stored = self._store.promise_state(workload)
        if stored is None or stored.terms != empty.key:
            return empty
        try:
            account = type(empty).restore(empty.terms, stored.state)
            for _, trial in self._store.trials(workload, after_seq=stored.upto_seq):
                account.observe(trial)
        except (LookupError, TypeError, ValueError) as error:
            _log.warning(
                "What was proven for workload %s can't be used (%s): it starts afresh.",
                workload,
                error,
            )
            return empty
        return account

    def _publish(self, workload: str, account: Account) -> None:
        self._metrics.set_promise(workload, account.terms.agreement, proven_agreement(account))


def proven_agreement(account: Account) -> float:
    """The agreement that is proven now; 1.0 where a certificate lets nothing be served."""
    if isinstance(account, Ledger):
        return account.agreement()
    return account.lower_bound(account.level())
