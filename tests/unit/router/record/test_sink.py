from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType

import pytest

from router.errors import StoreError
from router.meter.metrics import Metrics
from router.record.model import Interaction, PromiseState
from router.record.sink import Sink
from router.record.store import Store
from tests.unit.router.record.records import make_record


class FlakyStore:
    """A store that can be held up, fail, or choke on a record; keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.states: list[dict[str, PromiseState]] = []
        self.tries = 0
        self.down = False
        self.poison: str | None = None
        self.free = threading.Event()
        self.free.set()

    @property
    def kept(self) -> list[str]:
        return [record_id for batch in self.batches for record_id in batch]

    def append(
        self,
        batch: Sequence[Interaction],
        promise_states: Mapping[str, PromiseState] = MappingProxyType({}),
    ) -> int:
        self.tries += 1
        self.free.wait()
        if self.down:
            raise StoreError("the store is locked")
        ids = [record.id for record in batch]
        if self.poison in ids:
            raise ValueError("can't be stored")
        self.batches.append(ids)
        self.states.append(dict(promise_states))
        return len(batch)


class Drops:
    def __init__(self) -> None:
        self.total = 0
        self.bodies = 0

    def add_dropped(self, records: int) -> None:
        self.total += records

    def add_bodies_dropped(self, records: int) -> None:
        self.bodies += records


@pytest.fixture
def flaky() -> Iterator[FlakyStore]:
    store = FlakyStore()
    yield store
    store.free.set()


def wait_until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def state(trials: int) -> PromiseState:
    return PromiseState(terms="t", state={"trials": trials})


def test_drain_writes_everything_in_order(store: Store) -> None:
    metrics = Metrics()
    sink = Sink(store, metrics, batch=7, flush_s=60.0)
    for n in range(50):
        sink.put(make_record(f"i{n}", level=1), state(n + 1))
    assert sink.drain(10.0) == 0
    assert [row.id for row in store.training_rows("support")] == [f"i{n}" for n in range(50)]
    assert (sink.lag, sink.dropped) == (0, 0)
    kept = store.promise_state("support")
    assert kept is not None
    assert kept.state == {"trials": 50}
    assert list(store.trials("support", kept.upto_seq)) == []


def test_a_record_is_written_soon_without_a_drain(store: Store) -> None:
    sink = Sink(store, Metrics(), flush_s=0.01)
    sink.put(make_record("i1"))
    wait_until(lambda: store.interaction("i1") is not None)
    wait_until(lambda: sink.lag == 0)
    sink.put(make_record("i2"))
    wait_until(lambda: store.interaction("i2") is not None)
    assert sink.drain(5.0) == 0


def test_records_share_transactions(flaky: FlakyStore) -> None:
    sink = Sink(flaky, Drops(), batch=20, flush_s=60.0)
    for n in range(45):
        sink.put(make_record(f"i{n}"))
    wait_until(lambda: len(flaky.kept) == 40)
    assert sink.drain(5.0) == 0
    assert [len(batch) for batch in flaky.batches] == [20, 20, 5]


def test_overflow_is_dropped_and_counted(
    flaky: FlakyStore, caplog: pytest.LogCaptureFixture
) -> None:
    flaky.free.clear()
    drops = Drops()
    sink = Sink(flaky, drops, capacity=10, batch=4, flush_s=0.0)
    with caplog.at_level(logging.ERROR):
        for n in range(100):
            started = time.monotonic()
            sink.put(make_record(f"i{n}"))
            assert time.monotonic() - started < 1.0
    assert (sink.dropped, drops.total, sink.lag) == (90, 90, 10)
    assert len(caplog.records) == 1
    flaky.free.set()
    wait_until(lambda: sink.lag == 0)
    sink.put(make_record("later"))
    assert sink.drain(5.0) == 0
    assert flaky.kept == [*(f"i{n}" for n in range(10)), "later"]


def test_overflow_shows_in_the_metrics(flaky: FlakyStore) -> None:
    flaky.free.clear()
    metrics = Metrics()
    sink = Sink(flaky, metrics, capacity=1)
    for n in range(4):
        sink.put(make_record(f"i{n}"))
    assert b"tutelage_records_dropped_total 3.0" in metrics.render()[0]
    flaky.free.set()
    assert sink.drain(5.0) == 0


def test_a_store_that_recovers_loses_nothing(flaky: FlakyStore) -> None:
    flaky.down = True
    sink = Sink(flaky, Drops(), batch=5, flush_s=0.0)
    for n in range(23):
        sink.put(make_record(f"i{n}"))
    wait_until(lambda: flaky.tries >= 2)
    assert (flaky.kept, sink.lag, sink.dropped) == ([], 23, 0)
    flaky.down = False
    wait_until(lambda: sink.lag == 0)
    assert sink.drain(5.0) == 0
    assert flaky.kept == [f"i{n}" for n in range(23)]


def test_drain_keeps_trying_until_its_time_is_up(flaky: FlakyStore) -> None:
    flaky.down = True
    sink = Sink(flaky, Drops(), flush_s=0.0)
    sink.put(make_record("i1"))
    threading.Timer(0.3, lambda: setattr(flaky, "down", False)).start()
    assert sink.drain(10.0) == 0
    assert flaky.kept == ["i1"]


def test_drain_says_how_many_were_lost(flaky: FlakyStore) -> None:
    flaky.down = True
    drops = Drops()
    sink = Sink(flaky, drops, flush_s=0.0)
    for n in range(3):
        sink.put(make_record(f"i{n}"))
    started = time.monotonic()
    assert sink.drain(0.2) == 3
    assert time.monotonic() - started < 2.0
    assert (sink.dropped, drops.total) == (3, 3)
    assert sink.drain(0.2) == 3
    assert drops.total == 3


def test_a_store_that_hangs_does_not_hold_up_the_end(flaky: FlakyStore) -> None:
    flaky.free.clear()
    sink = Sink(flaky, Drops(), flush_s=0.0)
    sink.put(make_record("i1"))
    wait_until(lambda: flaky.tries == 1)
    started = time.monotonic()
    assert sink.drain(0.1) == 1
    assert time.monotonic() - started < 2.0


def test_after_the_drain_records_are_dropped(flaky: FlakyStore) -> None:
    sink = Sink(flaky, Drops())
    assert sink.drain(5.0) == 0
    sink.put(make_record("late"))
    assert (sink.dropped, flaky.kept) == (1, [])


def test_a_record_that_cannot_be_stored_takes_no_other_along(store: Store) -> None:
    drops = Drops()
    sink = Sink(store, drops, flush_s=60.0)
    sink.put(make_record("i1", level=1), state(1))
    sink.put(make_record("bad", cost_usd=Decimal(-1), level=1), state(2))
    sink.put(make_record("i2", level=1), state(3))
    assert sink.drain(10.0) == 0
    assert [record.id for record in store.latest(9)] == ["i2", "i1"]
    assert (sink.dropped, drops.total) == (1, 1)
    kept = store.promise_state("support")
    assert kept is not None
    assert kept.state == {"trials": 3}


def test_a_state_never_claims_a_trial_that_it_does_not_cover(flaky: FlakyStore) -> None:
    sink = Sink(flaky, Drops(), flush_s=60.0)
    sink.put(make_record("a1", workload="a", level=1), state(1))
    sink.put(make_record("a2", workload="a", level=1))
    sink.put(make_record("b1", workload="b", level=1), state(1))
    sink.put(make_record("b2", workload="b", level=1), state(2))
    sink.put(make_record("b3", workload="b"))
    assert sink.drain(5.0) == 0
    assert flaky.states == [{"b": state(2)}]


def test_threads_may_put_at_the_same_time(store: Store) -> None:
    sink = Sink(store, Metrics(), batch=30, flush_s=0.01)

    def put(name: str) -> None:
        for n in range(150):
            sink.put(make_record(f"{name}{n}"))

    threads = [threading.Thread(target=put, args=(name,)) for name in ("x", "y")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sink.drain(20.0) == 0
    ids = [row.id for row in store.training_rows("support")]
    assert [i for i in ids if i[0] == "x"] == [f"x{n}" for n in range(150)]
    assert [i for i in ids if i[0] == "y"] == [f"y{n}" for n in range(150)]
    assert store.totals().cost_usd == 300 * Decimal("0.000123456789")


KILLED = """
import sys, time
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.sink import Sink
from router.record.store import Store
from tests.unit.router.record.records import make_record

sink = Sink(Store.open(sys.argv[1]), Metrics(), batch=10, flush_s=0.0)
for n in range(1_000_000):
    state = PromiseState(terms="t", state={"trials": n + 1})
    sink.put(make_record(f"i{n}", level=1), state)
    if n % 50 == 0:
        print(n, flush=True)
        time.sleep(0.001)
"""


def test_a_killed_process_leaves_whole_transactions(url: str) -> None:
    root = Path(__file__).parents[4]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, cwd=root
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"0\n"
    store = Store.open(url)
    for line in process.stdout:
        if int(line) >= 600 and store.promise_state("support") is not None:
            break
    process.kill()
    process.wait(10)
    process.stdout.close()
    rows = list(store.training_rows("support"))
    kept = store.promise_state("support")
    assert kept is not None
    assert len(rows) > 0
    assert [row.id for row in rows] == [f"i{n}" for n in range(len(rows))]
    assert kept.state == {"trials": len(rows)}
    assert kept.upto_seq == rows[-1].seq
    assert all(len(record.attempts) == 1 for record in store.latest(len(rows)))
    store.close()
