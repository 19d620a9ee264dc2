"""What the store's alarms mean for the next cycle."""

from __future__ import annotations

from dataclasses import replace

from distill.drift import Drift, find_drift, locate
from policies.types import Trial
from router.deciding.promise import PromiseKeeper
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings
from tests.unit.router.record.records import make_record

GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0, confidence=0.95)
CALM = 200


def fill(store: Store, after: int = 0) -> int:
    """Good trials, then bad ones until the alarm, then ``after`` more; returns which raised it."""
    keeper = PromiseKeeper(store, Metrics())
    keeper.account("shop", PromiseSettings(agreement=0.9))
    count = 0

    def take(trial: Trial) -> None:
        nonlocal count
        count += 1
        state = keeper.observe("shop", trial)
        record = make_record(f"i{count}", workload="shop", level=0, created_at=float(count))
        store.append([record], {"shop": state})

    for _ in range(CALM):
        take(GOOD)
    while keeper.last_alarm("shop") is None:
        take(replace(GOOD, wrong=True, level=20))
    alarm = count
    for _ in range(after):
        take(GOOD)
    return alarm


def test_the_alarm_and_the_change_are_found_among_the_interactions() -> None:
    store = Store.open(":memory:")
    alarm = fill(store, after=7)
    found = find_drift(store, "shop")
    assert found.alarm_at == alarm
    assert found.changed_seq is not None
    assert CALM <= found.changed_seq < alarm
    assert found.changes == (found.changed_seq,)


def test_changes_before_the_last_one_are_found_unless_they_are_purged() -> None:
    store = Store.open(":memory:")
    trials = fill(store)
    watch = {"last": None, "changed": 150, "earlier": [10, 90], "trials": trials}
    assert locate(store, "shop", watch).changes == (10, 90, 150)
    store.purge_before(50.0)
    assert locate(store, "shop", watch).changes == (90, 150)


def test_where_nothing_changed_or_nothing_is_kept_there_is_no_drift() -> None:
    store = Store.open(":memory:")
    assert find_drift(store, "shop") == Drift()
    store.append([], {"shop": PromiseState(terms="purse", state={"credit": "0"})})
    assert find_drift(store, "shop") == Drift()


def test_what_is_purged_is_not_found() -> None:
    store = Store.open(":memory:")
    fill(store)
    store.purge_before(1_000_000.0)
    assert find_drift(store, "shop") == Drift()
