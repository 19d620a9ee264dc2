"""Old records go by themselves, also after a store that failed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from router.errors import StoreError
from router.record.store import Store
from router.retention import DAY_S, keep_retention, oldest_kept
from tests.unit.router.record.records import make_record


async def test_records_end_after_their_days(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store.open(":memory:")
    now = 100 * DAY_S
    store.append(
        [
            make_record("old", created_at=oldest_kept(90, now) - 1),
            make_record("young", created_at=oldest_kept(90, now) + 1),
        ]
    )
    failures = iter([True, False])
    purge = store.purge_before

    def fail_first(epoch_s: float) -> int:
        if next(failures, False):
            raise StoreError("the store is locked")
        return purge(epoch_s)

    monkeypatch.setattr(store, "purge_before", fail_first)
    task = asyncio.create_task(keep_retention(store, 90, lambda: now, every_s=0.001))
    for _ in range(1000):
        await asyncio.sleep(0.002)
        if store.interaction("old") is None:
            break
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert [record.id for record in store.latest(5)] == ["young"]
    store.close()
