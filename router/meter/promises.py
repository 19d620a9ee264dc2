"""What is promised of a workload, and what is proven of it, as Prometheus gauges."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from policies.promise.certificate import About

_NAMES: Mapping[About, tuple[str, str]] = {
    "agreement": ("tutelage_promise", "tutelage_agreement_lower_bound"),
    "accuracy": ("tutelage_accuracy_promise", "tutelage_accuracy_lower_bound"),
}
_PROVEN = "%s that is proven at the promise's confidence."
_POOLED = "1 where the level in force is borrowed from the workload's pool."


class PromiseGauges:
    """Gauges apart for agreement and accuracy: the one says nothing about the other."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._gauges = {
            about: (
                Gauge(promised, f"Promised {about}.", ("workload",), registry=registry),
                Gauge(proven, _PROVEN % about.title(), ("workload",), registry=registry),
            )
            for about, (promised, proven) in _NAMES.items()
        }
        self._pooled = Gauge("tutelage_promise_pooled", _POOLED, ("workload",), registry=registry)

    def set(
        self, label: str, promised: float, proven: float, about: About, pooled: bool | None
    ) -> None:
        """In place of what was promised before. ``pooled``: whether the level in force is borrowed;
        None where there is no pool."""
        if pooled is None:
            self._pooled.remove(label)
        else:
            self._pooled.labels(label).set(pooled)
        for other in self._gauges.keys() - {about}:
            for gauge in self._gauges[other]:
                gauge.remove(label)
        of_promised, of_proven = self._gauges[about]
        of_promised.labels(label).set(promised)
        of_proven.labels(label).set(proven)

    def set_proven(self, label: str, proven: float) -> None:
        """The agreement proven where none is promised."""
        _, of_proven = self._gauges["agreement"]
        of_proven.labels(label).set(proven)
