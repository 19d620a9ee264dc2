from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from router.errors import StoreError
from router.record.learning import cycle_lease
from router.record.leases import LEASE_S
from router.record.model import Release
from router.record.store import Store


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    store = Store.open(url, clock)
    yield store
    store.close()


def add(store: Store, *digests: str, workload: str = "w") -> None:
    for digest in digests:
        store.add_release(digest=digest, workload=workload, path=f"/releases/{digest}")


def state_of(store: Store, digest: str) -> str:
    release = store.release(digest)
    assert release is not None
    return release.state


def events(store: Store) -> list[tuple[str, str, str]]:
    return [(e.digest, e.action, e.reason) for e in store.release_events()]


def test_a_release_starts_as_a_candidate(store: Store) -> None:
    added = store.add_release(digest="d1", workload="w", path="/r/d1", report={"rows": 500})
    assert added == Release(
        digest="d1",
        workload="w",
        number=1,
        state="candidate",
        path="/r/d1",
        created_at=1001.0,
        promoted_at=None,
        report={"rows": 500},
    )
    assert store.release("d1") == added
    assert store.release("d2") is None
    assert store.active_releases() == {}


def test_numbers_count_within_a_workload(store: Store) -> None:
    add(store, "a1", "a2", workload="a")
    add(store, "b1", workload="b")
    assert [(r.digest, r.number) for r in store.releases("a")] == [("a2", 2), ("a1", 1)]
    assert [r.digest for r in store.releases()] == ["b1", "a2", "a1"]


def test_the_same_bundle_is_the_same_release(store: Store) -> None:
    add(store, "d1", "d1")
    assert len(store.releases()) == 1
    with pytest.raises(StoreError, match="belongs to workload w"):
        add(store, "d1", workload="other")


def test_promotion_retires_what_was_in_force(store: Store) -> None:
    add(store, "d1", "d2")
    store.set_active("w", "d1", "first")
    store.set_active("w", "d2", "cheaper")
    assert store.active_releases() == {"w": "d2"}
    assert (state_of(store, "d1"), state_of(store, "d2")) == ("retired", "active")
    assert events(store) == [
        ("d1", "promoted", "first"),
        ("d1", "retired", "release d2 took its place"),
        ("d2", "promoted", "cheaper"),
    ]
    promoted = store.release("d2")
    assert promoted is not None
    assert promoted.promoted_at is not None


def test_promoting_what_is_in_force_changes_nothing(store: Store) -> None:
    add(store, "d1")
    store.set_active("w", "d1", "first")
    before = store.release("d1")
    store.set_active("w", "d1", "again")
    assert store.release("d1") == before
    assert len(events(store)) == 1


def test_rollback_goes_down_the_line_and_never_back_up(store: Store) -> None:
    add(store, "d1", "d2", "d3", "never")
    assert store.previous_release("w") is None
    for digest in ("d1", "d2", "d3"):
        store.set_active("w", digest, "better")
    for expected in ("d2", "d1"):
        previous = store.previous_release("w")
        assert previous is not None
        assert previous.digest == expected
        store.set_active("w", previous.digest, "alarm")
        assert events(store)[-1] == (expected, "rolled_back", "alarm")
    assert store.previous_release("w") is None
    assert store.active_releases() == {"w": "d1"}


def test_retiring_leaves_nothing_in_force(store: Store) -> None:
    add(store, "d1")
    assert store.retire_active("w", "none") is None
    store.set_active("w", "d1", "first")
    assert store.retire_active("w", "alarm") == "d1"
    assert store.active_releases() == {}
    assert events(store)[-1] == ("d1", "retired", "alarm")
    previous = store.previous_release("w")
    assert previous is not None
    assert previous.digest == "d1"


def test_rejecting_is_for_good(store: Store) -> None:
    add(store, "d1", "d2")
    store.reject_release("d1", "worse")
    store.reject_release("d1", "still worse")
    assert events(store) == [("d1", "rejected", "worse")]
    with pytest.raises(StoreError, match="was rejected"):
        store.set_active("w", "d1", "anyway")
    store.set_active("w", "d2", "fine")
    with pytest.raises(StoreError, match="is in force"):
        store.reject_release("d2", "no")
    assert store.active_releases() == {"w": "d2"}


def test_a_failed_promotion_changes_nothing(store: Store) -> None:
    add(store, "d1")
    add(store, "x1", workload="x")
    store.set_active("w", "d1", "first")
    for digest, words in (("nope", "is unknown"), ("x1", "belongs to workload x")):
        with pytest.raises(StoreError, match=words):
            store.set_active("w", digest, "?")
    with pytest.raises(StoreError, match="is unknown"):
        store.reject_release("nope", "?")
    assert store.active_releases() == {"w": "d1"}
    assert len(events(store)) == 1


def test_events_of_one_workload(store: Store) -> None:
    add(store, "d1")
    add(store, "x1", workload="x")
    store.set_active("w", "d1", "a")
    store.set_active("x", "x1", "b")
    assert [e.digest for e in store.release_events("x")] == ["x1"]


def test_concurrent_promotions_leave_one_in_force(store: Store) -> None:
    digests = [f"d{n}" for n in range(8)]
    add(store, *digests)
    threads = [
        threading.Thread(target=store.set_active, args=("w", digest, "race")) for digest in digests
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    states = sorted(release.state for release in store.releases("w"))
    assert states == ["active"] + ["retired"] * 7


def test_a_cycle_from_begin_to_end(store: Store) -> None:
    cycle_id = store.begin_cycle("w", answers_seen=500)
    assert cycle_id is not None
    running = store.cycles(1)[0]
    assert (running.id, running.outcome, running.ended_at) == (cycle_id, None, None)
    store.end_cycle(cycle_id, "promoted", {"digest": "d1"})
    ended = store.cycles(1)[0]
    assert (ended.outcome, ended.detail, ended.answers_seen) == ("promoted", {"digest": "d1"}, 500)
    assert ended.ended_at is not None
    assert ended.ended_at > ended.started_at
    with pytest.raises(StoreError, match="isn't running"):
        store.end_cycle(cycle_id, "again")


def test_how_far_a_cycle_is_gives_way_to_what_it_came_to(store: Store) -> None:
    cycle_id = store.begin_cycle("w", 1)
    other = store.begin_cycle("other", 1)
    assert cycle_id is not None
    assert other is not None
    store.note_cycle(cycle_id, {"progress": {"step": 1}})
    store.note_cycle(cycle_id, {"progress": {"step": 2}})
    assert [c.detail for c in store.cycles(9)] == [{}, {"progress": {"step": 2}}]
    store.end_cycle(cycle_id, "promoted", {"sentence": "done"})
    store.note_cycle(cycle_id, {"progress": {"step": 3}})
    assert [c.detail for c in store.cycles(9, "w")] == [{"sentence": "done"}]


def test_a_workload_learns_once_at_a_time(store: Store) -> None:
    first = store.begin_cycle("w", 1)
    assert first is not None
    assert store.begin_cycle("w", 2) is None
    assert store.begin_cycle("other", 2) is not None
    store.end_cycle(first, "nothing new")
    assert store.begin_cycle("w", 3) is not None
    assert [c.workload for c in store.cycles(9)] == ["w", "other", "w"]
    assert len(store.cycles(9, "w")) == 2
    assert len(store.cycles(1)) == 1


def test_a_cycle_that_died_gives_way_within_a_minute(store: Store, clock: Clock) -> None:
    dead = store.begin_cycle("w", 1)
    assert dead is not None
    clock.now += LEASE_S - 2.0
    assert store.begin_cycle("w", 2) is None
    clock.now += 1.5
    assert store.begin_cycle("w", 3) is not None
    outcomes = [(c.id == dead, c.outcome) for c in store.cycles(9)]
    assert outcomes == [(False, None), (True, "abandoned")]
    with pytest.raises(StoreError, match="isn't running"):
        store.end_cycle(dead, "promoted")


def test_a_cycle_that_gives_signs_of_life_may_take_hours(store: Store, clock: Clock) -> None:
    alive = store.begin_cycle("w", 1)
    assert alive is not None
    for _ in range(100):
        clock.now += LEASE_S - 3.0
        assert store.keep_lease(cycle_lease("w"), alive)
        assert store.begin_cycle("w", 2) is None
    store.end_cycle(alive, "promoted")
    assert store.leased_until(cycle_lease("w")) == 0.0
    assert store.begin_cycle("w", 3) is not None
    assert not store.keep_lease(cycle_lease("w"), alive)


def test_only_one_of_many_begins(store: Store) -> None:
    begun: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: begun.append(store.begin_cycle("w", 0))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([cycle for cycle in begun if cycle is not None]) == 1
