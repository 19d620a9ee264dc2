from __future__ import annotations

from dataclasses import replace

from router.record.model import KeptAlarm
from router.record.store import Store

FOUND = KeptAlarm(
    workload="shop", kind="agreement", trial=7, strength=1.5, at=1000.0, ended_at=None
)


def test_alarms_are_kept_and_end(store: Store) -> None:
    other = replace(FOUND, workload="bank", kind="teacher", at=2000.0)
    assert store.add_alarm(FOUND)
    assert store.add_alarm(other)
    assert store.open_alarms() == {"shop", "bank"}
    store.end_alarms("shop", 1500.0)
    store.end_alarms("shop", 1600.0)
    ended = replace(FOUND, ended_at=1500.0)
    assert store.alarms(5) == [other, ended]
    assert store.alarms(5, "shop") == [ended]
    assert store.alarms(1) == [other]
    assert store.open_alarms() == {"bank"}
    assert store.alarms_between(1000.0, 2000.0) == [ended]


def test_what_several_workers_found_is_one_alarm(store: Store) -> None:
    assert store.add_alarm(FOUND)
    assert not store.add_alarm(replace(FOUND, at=1003.0))
    # Another promise begins to count anew and may come to the same number.
    assert store.add_alarm(replace(FOUND, at=1000.0 + 86_400.0))
    assert store.add_alarm(replace(FOUND, trial=8))
    assert len(store.alarms(9)) == 3
