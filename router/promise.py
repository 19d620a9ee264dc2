"""Keeps one certificate per workload, across requests and restarts."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from policies.promise.certificate import Certificate, Terms
from policies.types import Trial
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings

_log = logging.getLogger("tutelage.promise")


@dataclass(frozen=True, kw_only=True)
class PromiseView:
    """What a promise stands at; ``level`` None: nothing is served, the teacher answers all."""

    workload: str
    terms: Terms
    level: int | None
    lower_bound: float
    trials: int


class PromiseKeeper:
    """Certificates by workload. Used from one event loop only.

    A certificate is restored from the store where the terms are the same, and brought up to date
    with the interactions stored after its snapshot; other terms start afresh, and so does what
    can't be used: nothing is then served until it is proven anew.
    """

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._kept: dict[str, Certificate] = {}

    def certificate(self, workload: str, promise: PromiseSettings) -> Certificate:
        """The workload's certificate; the first call for a workload reads the store."""
        found = self._kept.get(workload)
        if found is None:
            terms = Terms(
                agreement=promise.agreement, confidence=promise.confidence, over=promise.over
            )
            found = self._kept[workload] = self._restore(workload, terms)
            self._publish(workload, found)
        return found

    def observe(self, workload: str, trial: Trial) -> PromiseState:
        """Take in one interaction of a workload whose certificate is kept; returns a snapshot."""
        certificate = self._kept[workload]
        certificate.observe(trial)
        self._publish(workload, certificate)
        return PromiseState(terms=certificate.terms.key, state=certificate.state())

    def views(self) -> list[PromiseView]:
        """All promises, by workload."""
        return [
            PromiseView(
                workload=workload,
                terms=certificate.terms,
                level=certificate.level(),
                lower_bound=certificate.lower_bound(certificate.level()),
                trials=certificate.trials,
            )
            for workload, certificate in sorted(self._kept.items())
        ]

    def _restore(self, workload: str, terms: Terms) -> Certificate:
        stored = self._store.promise_state(workload)
        if stored is None or stored.terms != terms.key:
            return Certificate(terms)
        try:
            certificate = Certificate.restore(terms, stored.state)
            for _, trial in self._store.trials(workload, after_seq=stored.upto_seq):
                certificate.observe(trial)
        except (LookupError, TypeError, ValueError) as error:
            _log.warning(
                "What was proven for workload %s can't be used (%s): it starts afresh.",
                workload,
                error,
            )
            return Certificate(terms)
        return certificate

    def _publish(self, workload: str, certificate: Certificate) -> None:
        bound = certificate.lower_bound(certificate.level())
        self._metrics.set_promise(workload, certificate.terms.agreement, bound)
