from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from policies.promise.drift import Alarm
from router.alarms import AlarmKeeper
from router.deciding.promise import PromiseKeeper
from router.errors import StoreError
from router.record.model import KeptAlarm
from router.record.store import Store

ALARM = Alarm(kind="agreement", trial=7, strength=1.5)


class Promises:
    """What raises alarms, by hand."""

    def __init__(self) -> None:
        self.raised: list[tuple[str, Alarm]] = []
        self.tightened: set[str] = set()

    def raise_one(self, workload: str) -> None:
        self.raised.append((workload, ALARM))
        self.tightened.add(workload)

    def take_raised(self) -> list[tuple[str, Alarm]]:
        taken, self.raised = self.raised, []
        return taken

    def is_tightened(self, workload: str) -> bool:
        return workload in self.tightened


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(":memory:")
    yield opened
    opened.close()


def follow_of(store: Store, promises: Promises) -> AlarmKeeper:
    clock = iter(range(100, 1000, 100))
    return AlarmKeeper(store, cast(PromiseKeeper, promises), lambda: float(next(clock)))


async def test_an_alarm_is_stored_and_ends_once_evidence_is_back(store: Store) -> None:
    promises = Promises()
    keeper = follow_of(store, promises)
    promises.raise_one("shop")
    await keeper.follow()
    await keeper.follow()
    kept = KeptAlarm(workload="shop", at=100.0, ended_at=None, **vars(ALARM))
    assert store.alarms(5) == [kept]
    promises.tightened.clear()
    await keeper.follow()
    assert [one.ended_at for one in store.alarms(5)] == [200.0]


async def test_an_alarm_from_before_a_restart_ends_too(store: Store) -> None:
    store.add_alarm(KeptAlarm(workload="shop", at=1.0, ended_at=None, **vars(ALARM)))
    promises = Promises()
    await follow_of(store, promises).follow()
    assert store.open_alarms() == set()


async def test_a_store_that_fails_gets_the_alarm_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    promises = Promises()
    keeper = follow_of(store, promises)
    promises.raise_one("shop")

    def fail(alarm: KeptAlarm) -> bool:
        raise StoreError("the store is away")

    with monkeypatch.context() as away:
        away.setattr(store, "add_alarm", fail)
        with pytest.raises(StoreError):
            await keeper.follow()
    await keeper.follow()
    assert [one.at for one in store.alarms(5)] == [100.0]
