"""Which workloads are due, and that one bad cycle stops nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from distill.learner import Learner
from distill.watch import Standing, run_due, survey
from router.record.leases import LEASE_S
from router.record.model import PromiseState
from router.record.redact import Redactor
from router.record.store import Store
from router.settings.model import Settings
from router.students.encoder import Encoder
from tests.unit.distill.learning_rows import allow
from tests.unit.router.record.records import make_record

HOUR_S = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Iterator[Store]:
    opened = Store.open(":memory:", clock)
    yield opened
    opened.close()


def add(store: Store, count: int, workload: str = "shop", start: int = 0, **changes: Any) -> None:
    """``count`` answers that may be learned from."""
    store.append(
        [
            make_record(f"{workload}-{i}", workload=workload, input_text=f"q {i}", **changes)
            for i in range(start, start + count)
        ]
    )


def learner(store: Store, settings: Settings, folder: Path) -> Learner:
    return Learner(
        settings=settings,
        store=store,
        encoder=Encoder(),
        redactor=Redactor(()),
        folder=folder,
    )


def stand(store: Store, **learning: Any) -> Standing:
    (standing,) = survey(store, allow("teacher", learning=learning))
    return standing


def end(store: Store, clock: Clock, outcome: str | None, answers_seen: int) -> None:
    """A cycle of ten seconds; None: it is killed in its middle."""
    cycle_id = store.begin_cycle("shop", answers_seen)
    assert cycle_id is not None
    clock.now += 10.0
    if outcome is not None:
        store.end_cycle(cycle_id, outcome)


def test_no_answers_no_standing(store: Store) -> None:
    add(store, 3, train_ok=False)
    assert survey(store, allow("teacher")) == []


def test_the_first_cycle_waits_for_enough_answers(store: Store, clock: Clock) -> None:
    add(store, 99)
    assert not stand(store).is_due(clock.now)
    add(store, 1, start=99)
    assert stand(store) == Standing(workload="shop", answers=100, needed=100, ready_at=0.0)
    assert stand(store).is_due(clock.now)
    assert not stand(store, min_new_answers=101).is_due(clock.now)


@pytest.mark.parametrize("outcome", ["promoted", "rejected", "too_few", "open_ended"])
def test_the_next_waits_for_more_answers_and_for_the_schedule(
    store: Store, clock: Clock, outcome: str
) -> None:
    add(store, 149)
    end(store, clock, outcome, 100)
    assert not stand(store).is_due(clock.now)
    add(store, 1, start=149)
    assert stand(store).is_due(clock.now)
    later = stand(store, every="1h")
    assert not later.is_due(clock.now + HOUR_S - 1)
    assert later.is_due(clock.now + HOUR_S)


def test_a_failed_cycle_is_tried_again_with_the_same_answers_but_not_at_once(
    store: Store, clock: Clock
) -> None:
    add(store, 130)
    end(store, clock, "promoted", 100)
    add(store, 30, start=130)
    end(store, clock, "failed", 160)
    standing = stand(store)
    assert (standing.answers, standing.needed) == (160, 150)
    assert not standing.is_due(clock.now)
    assert standing.is_due(clock.now + HOUR_S)


def test_while_a_cycle_runs_none_is_due_and_a_killed_one_is_given_up(
    store: Store, clock: Clock
) -> None:
    add(store, 200)
    end(store, clock, None, 200)
    assert not stand(store).is_due(clock.now)
    assert not stand(store).is_due(clock.now + LEASE_S - 11)
    assert stand(store).is_due(clock.now + LEASE_S - 9)


def test_workloads_stand_apart(store: Store, clock: Clock) -> None:
    add(store, 120)
    add(store, 20, workload="other")
    end(store, clock, "promoted", 120)
    found = {standing.workload: standing for standing in survey(store, allow("teacher"))}
    assert list(found) == ["other", "shop"]
    assert (found["other"].needed, found["shop"].needed) == (100, 170)


def test_run_due_learns_only_what_is_due(store: Store, clock: Clock, tmp_path: Path) -> None:
    add(store, 100, workload="young")
    add(store, 10)
    outcomes = list(run_due(learner(store, allow(), tmp_path), clock.now))
    assert [(one.workload, one.result) for one in outcomes] == [("young", "too_few")]
    assert "100 licence" in outcomes[0].sentence
    assert list(run_due(learner(store, allow(), tmp_path), clock.now)) == []


def test_a_cycle_that_fails_does_not_stop_the_others(
    store: Store, clock: Clock, tmp_path: Path
) -> None:
    add(store, 100, workload="a", teacher_answer={"no": "answer"})
    add(store, 100, workload="b", teacher_model="other")
    found = list(run_due(learner(store, allow("teacher"), tmp_path), clock.now))
    assert [(one.workload, one.result) for one in found] == [("a", "failed"), ("b", "too_few")]
    assert "the cycle failed: The stored answer lacks a field" in found[0].sentence
    assert [cycle.outcome for cycle in store.cycles(9, "a")] == ["failed"]


def drift(store: Store, trials: int, alarm: int, changed: int | None) -> None:
    """The watch's state after so many trials."""
    last = {"kind": "agreement", "trial": alarm, "strength": 1.0}
    watch = {"trials": trials, "last": last, "changed": changed}
    store.append([], {"shop": PromiseState(terms="t", state={"watch": watch})})


def test_an_alarm_makes_a_cycle_due_before_its_time(store: Store, clock: Clock) -> None:
    add(store, 400, level=0, created_at=clock.now)
    end(store, clock, "promoted", 400)
    add(store, 30, start=400, level=0, created_at=clock.now + 5)
    assert not stand(store, every="6h").drifted
    drift(store, trials=430, alarm=425, changed=410)
    found = stand(store, every="6h")
    # A quarter of the twenty answers since the change is little, so fifty.
    assert (found.drifted, found.needed) == (True, 450)
    assert not found.is_due(clock.now)
    assert found.is_due(clock.now + 300)
    assert not stand(store, on_drift=False).drifted
    clock.now += 60.0
    end(store, clock, "promoted", 430)
    assert not stand(store).drifted
    drift(store, trials=430, alarm=425, changed=None)
    assert stand(store).needed == 538
