"""Counters and histograms that are counted with every request, and written only when scraped.

The reference library checks and locks at every number. These keep plain numbers and become its
types when somebody looks.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import inf

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

_Labels = tuple[str, ...]


class TallyCounter(Collector):
    """A counter by labels. The caller sees to it that one thread at a time uses it."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str] = (), *, registry: CollectorRegistry
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._values: dict[_Labels, float] = {}
        registry.register(self)

    def add(self, labels: _Labels, amount: float = 1.0) -> None:
        """Count; ``labels``: their values, in the order of their names."""
        self._values[labels] = self._values.get(labels, 0.0) + amount

    def collect(self) -> Iterator[CounterMetricFamily]:
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in [*self._values.items()]:
            family.add_metric(labels, value)
        yield family


class TallyHistogram(Collector):
    """A histogram by labels, with upper bounds of its buckets; used as ``TallyCounter`` is."""

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        *,
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._bounds = tuple(buckets)
        self._counts: dict[_Labels, list[int]] = {}
        self._sums: dict[_Labels, float] = {}
        if not labels:  # there from the start, as the reference library has it
            self._begin(())
        registry.register(self)

    def observe(self, labels: _Labels, value: float) -> None:
        """Take in one value."""
        counts = self._counts.get(labels) or self._begin(labels)
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, counts in [*self._counts.items()]:
            buckets, total = [], 0
            for bound, count in zip((*self._bounds, inf), counts, strict=True):
                total += count
                buckets.append((_write_bound(bound), float(total)))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family

    def _begin(self, labels: _Labels) -> list[int]:
        self._sums[labels] = 0.0
        counts = self._counts[labels] = [0] * (len(self._bounds) + 1)
        return counts


def _write_bound(bound: float) -> str:
    return str(floatToGoString(bound))  # type: ignore[no-untyped-call]
