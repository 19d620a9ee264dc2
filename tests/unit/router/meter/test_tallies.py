"""What is tallied reads as the reference library's own types would have it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from router.meter.tallies import TallyCounter, TallyHistogram

BUCKETS = (1e-6, 0.5, 1.0, 4194304.0)
VALUES = (0.0, 0.5, 0.500001, 1.0, 7.0, 1e9)


def page(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if "_created" not in line]


def test_a_histogram_is_written_like_the_librarys() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyHistogram("h", "Text.", ("model",), buckets=BUCKETS, registry=ours)
    reference = Histogram("h", "Text.", ("model",), buckets=BUCKETS, registry=theirs)
    for value in VALUES:
        tally.observe(("m",), value)
        reference.labels("m").observe(value)
    assert page(ours) == page(theirs)


def test_a_histogram_without_labels_is_there_before_its_first_value() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    TallyHistogram("h", "Text.", buckets=BUCKETS, registry=ours)
    Histogram("h", "Text.", buckets=BUCKETS, registry=theirs)
    assert page(ours) == page(theirs)


def test_a_counter_is_written_like_the_librarys() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = TallyCounter("c", "Text.", ("a", "b"), registry=ours)
    reference = Counter("c", "Text.", ("a", "b"), registry=theirs)
    for labels, amount in ((("x", "y"), 1.0), (("x", 'quoted"'), 0.25), (("x", "y"), 2.5)):
        tally.add(labels, amount)
        reference.labels(*labels).inc(amount)
    assert page(ours) == page(theirs)
