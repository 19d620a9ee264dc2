"""What releases spared, read from a store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from distill.next.history import find_terms, read_history
from policies.types import Tier
from router.record.store import Store
from tests.unit.router.record.records import make_record

SPARED = {"tier": Tier.STUDENT, "seen": False, "teacher_answer": None}


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(":memory:")
    yield opened
    opened.close()


def put_in_force(store: Store, digest: str) -> None:
    store.add_release(digest=digest, workload="support", path="/nowhere")
    store.set_active("support", digest, "test")


def add(store: Store, name: str, count: int, release: str | None, **changes: Any) -> None:
    store.append([make_record(f"{name}-{i}", release=release, **changes) for i in range(count)])


def run_cycle(store: Store, outcome: str) -> None:
    cycle_id = store.begin_cycle("support", 100)
    assert cycle_id is not None
    store.end_cycle(cycle_id, outcome)


def test_what_was_checked_or_not_drafted_is_not_spared(store: Store) -> None:
    put_in_force(store, "r1")
    add(store, "before", 50, None)
    add(store, "spared", 40, "r1", **SPARED)
    add(store, "undrafted", 20, None)
    add(store, "asked-on-purpose", 25, None, reason="targeted")  # nobody's interactions
    add(store, "audited", 30, "r1", tier=Tier.STUDENT)
    add(store, "escalated", 10, "r1")
    add(store, "after", 50, None)
    (stage,) = read_history(store, "support").stages
    assert (stage.spared.interactions, stage.spared.spared) == (100, 40)


def test_the_rejected_cycles_count_and_the_others_do_not(store: Store) -> None:
    for number, spared in ((1, 20), (2, 80)):
        put_in_force(store, f"r{number}")
        add(store, f"s{number}", spared, f"r{number}", **SPARED)
        add(store, f"t{number}", 100 - spared, f"r{number}")
        for outcome in ("promoted", "rejected", "failed", "too_few")[: 4 * (number - 1)]:
            run_cycle(store, outcome)
    history = read_history(store, "support")
    assert [stage.number for stage in history.stages] == [1, 2]
    assert (history.now, history.cycles) == (0.8, 2)
    assert history.gain is not None


def test_a_release_that_hardly_drafted_tells_nothing(store: Store) -> None:
    put_in_force(store, "r1")
    add(store, "t", 99, "r1")
    history = read_history(store, "support")
    assert (history.stages, history.now, history.gain) == ([], None, None)


@pytest.mark.parametrize(("days", "per_day"), [(0.9, None), (4.0, 2.5)])
def test_a_pace_takes_a_day(store: Store, days: float, per_day: float | None) -> None:
    add(store, "first", 9, None)
    add(store, "last", 1, None, created_at=100.0 + 86_400.0 * days)
    history = read_history(store, "support")
    weighed = {"cycle_usd": 1.0, "shelf_days": 30.0}
    terms = find_terms(store, "support", history, per_day=None, **weighed)
    assert terms.per_day == per_day
    assert terms.teacher_usd == pytest.approx(0.000123456789)
    assert find_terms(store, "support", history, per_day=7.0, **weighed).per_day == 7.0
