"""One page of metrics out of those of several processes.

Counters and histograms add up, also over processes that have ended; of a gauge only what living
processes say counts, and how it is put together depends on what it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import orjson
from prometheus_client.core import Metric

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels]
"""A sample's name and its labels."""

ESCALATION: Final = "tutelage_escalation_ratio"
OTHER: Final = "other"
_CREATED: Final = "_created"
_OWN: Final = frozenset({"tutelage_budget_usd", "tutelage_budget_spent_usd"})
"""Read for the page that is asked for; what another process read for its last one is old."""

_GAUGES: Final[Mapping[str, Callable[[Iterable[float]], float]]] = {
    "tutelage_requests_running": sum,
    "tutelage_requests_waiting": sum,
    # Each takes in what all have seen about a second later: the most careful is right.
    "tutelage_agreement_lower_bound": min,
    "tutelage_accuracy_lower_bound": min,
}
_BOUNDED: Final = frozenset({"workload", "reason", "model", "gen_ai_request_model"})
"""Labels whose values clients or configurations can multiply."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """A metric with all its samples; ``kind``: counter, gauge or histogram."""

    name: str
    kind: str
    about: str
    samples: Mapping[Sample, float]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The metrics of one process at one moment. ``windows``: by workload, over how many of its
    interactions the share of the escalated ones was taken."""

    families: tuple[Family, ...]
    windows: Mapping[str, int] = field(default_factory=dict)


def read_families(collected: Iterable[Metric]) -> tuple[Family, ...]:
    """What a registry collected."""
    return tuple(
        Family(
            name=metric.name,
            kind=metric.type,
            about=metric.documentation,
            samples={
                (one.name, tuple(sorted(one.labels.items()))): one.value for one in metric.samples
            },
        )
        for metric in collected
    )


def write_reading(reading: Reading) -> bytes:
    """As JSON."""
    families = [
        {
            "name": one.name,
            "kind": one.kind,
            "about": one.about,
            "samples": [[name, labels, value] for (name, labels), value in one.samples.items()],
        }
        for one in reading.families
    ]
    return orjson.dumps({"families": families, "windows": dict(reading.windows)})


def parse_reading(raw: bytes) -> Reading:
    """Raises ValueError, KeyError or TypeError for what ``write_reading`` didn't write."""
    given: dict[str, Any] = orjson.loads(raw)
    families = tuple(
        Family(
            name=one["name"],
            kind=one["kind"],
            about=one["about"],
            samples={
                (name, tuple((label, of) for label, of in labels)): value
                for name, labels, value in one["samples"]
            },
        )
        for one in given["families"]
    )
    return Reading(families=families, windows=given["windows"])


def pool(own: Reading, living: Sequence[Reading], ended: Sequence[Reading]) -> tuple[Metric, ...]:
    """One page. ``own``: of the process that is asked; ``living``: of those beside it; ``ended``:
    of those that were."""
    spread = _index([own, *living])
    past = _index(ended)
    return tuple(
        _write(family, _pool_gauge(family, own, living))
        if family.kind == "gauge"
        else _write(family, _add_up(chain(past.get(name, ()), spread[name])))
        for name, family in _name(own).items()
    )


def fold(readings: Sequence[Reading], most_values: int) -> Reading:
    """What ended processes counted, as that of one. Each label that clients can multiply keeps
    ``most_values`` values, the first ones; the others become ``other``."""
    known: dict[str, dict[str, None]] = {}

    def bound(labels: Labels) -> Labels:
        return tuple((name, keep(name, value)) for name, value in labels)

    def keep(name: str, value: str) -> str:
        if name not in _BOUNDED:
            return value
        values = known.setdefault(name, {})
        if value in values or len(values) < most_values:
            values[value] = None
            return value
        return OTHER

    folded = []
    for families in _index(readings).values():
        if families[0].kind == "gauge":
            continue
        bounded = [
            Family(
                name=one.name,
                kind=one.kind,
                about=one.about,
                samples=_sum((name, bound(labels), v) for (name, labels), v in one.samples.items()),
            )
            for one in families
        ]
        samples = _add_up(bounded)
        first = bounded[0]
        folded.append(Family(name=first.name, kind=first.kind, about=first.about, samples=samples))
    return Reading(families=tuple(folded))


def _name(reading: Reading) -> dict[str, Family]:
    return {family.name: family for family in reading.families}


def _index(readings: Sequence[Reading]) -> dict[str, list[Family]]:
    found: dict[str, list[Family]] = {}
    for reading in readings:
        for family in reading.families:
            found.setdefault(family.name, []).append(family)
    return found


def _add_up(families: Iterable[Family]) -> dict[Sample, float]:
    return _sum(
        (name, labels, value)
        for family in families
        for (name, labels), value in family.samples.items()
    )


def _sum(samples: Iterable[tuple[str, Labels, float]]) -> dict[Sample, float]:
    """When a counter was begun is no sum: the first time counts."""
    found: dict[Sample, float] = {}
    for name, labels, value in samples:
        before = found.get((name, labels))
        if before is None:
            found[name, labels] = value
        else:
            begun = name.endswith(_CREATED)
            found[name, labels] = min(before, value) if begun else before + value
    return found


def _pool_gauge(family: Family, own: Reading, living: Sequence[Reading]) -> dict[Sample, float]:
    if family.name in _OWN:
        return dict(family.samples)
    if family.name == ESCALATION:
        return _weigh(family.name, [own, *living])
    values: dict[Sample, list[float]] = {}
    for one in _index([own, *living])[family.name]:
        for sample, value in one.samples.items():
            values.setdefault(sample, []).append(value)
    combine = _GAUGES.get(family.name, max)
    return {sample: combine(found) for sample, found in values.items()}


def _weigh(name: str, readings: Sequence[Reading]) -> dict[Sample, float]:
    """Shares, each weighed by how many interactions it was taken over."""
    hits: dict[Sample, float] = {}
    events: dict[Sample, int] = {}
    for reading in readings:
        for sample, share in _name(reading)[name].samples.items():
            of = reading.windows.get(dict(sample[1])["workload"], 0)
            hits[sample] = hits.get(sample, 0.0) + share * of
            events[sample] = events.get(sample, 0) + of
    return {sample: hits[sample] / of for sample, of in events.items() if of}


def _write(family: Family, samples: Mapping[Sample, float]) -> Metric:
    metric = Metric(family.name, family.about, family.kind)
    for (name, labels), value in samples.items():
        metric.add_sample(name, dict(labels), value)
    return metric
