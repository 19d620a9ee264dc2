"""Alarms of the watch on their way to the store, beside the requests that raise them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from router.deciding.promise import PromiseKeeper
from router.errors import StoreError
from router.record.model import KeptAlarm
from router.record.store import Store

_log = logging.getLogger("tutelage.alarms")

_FOLLOW_S = 0.5


class AlarmKeeper:
    """Writes what the watch raised, and when a promise was no longer tightened for it.

    ``clock`` gives seconds since the epoch. An alarm that the store can't take now waits.
    """

    def __init__(
        self, store: Store, promises: PromiseKeeper, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._promises = promises
        self._clock = clock
        self._waiting: list[KeptAlarm] = []
        self._open: set[str] | None = None

    async def follow(self) -> None:
        """Once. Raises StoreError; nothing is lost then."""
        if self._open is None:
            self._open = await run_in_threadpool(self._store.open_alarms)
        for workload, alarm in self._promises.take_raised():
            kept = KeptAlarm(workload=workload, at=self._clock(), ended_at=None, **vars(alarm))
            self._waiting.append(kept)
        while self._waiting:
            await run_in_threadpool(self._store.add_alarm, self._waiting[0])
            self._open.add(self._waiting.pop(0).workload)
        for workload in [one for one in self._open if not self._promises.is_tightened(one)]:
            await run_in_threadpool(self._store.end_alarms, workload, self._clock())
            self._open.discard(workload)


async def follow_alarms(app: FastAPI) -> None:
    """Twice a second, until cancelled; a store that fails is tried again, and told of once."""
    keeper = AlarmKeeper(app.state.deps.store, app.state.deps.promises)
    told: str | None = None
    while True:
        await asyncio.sleep(_FOLLOW_S)
        problem: str | None = None
        try:
            await keeper.follow()
        except StoreError as error:
            problem = str(error)
        if problem is not None and problem != told:
            _log.error("Alarms could not be stored: %s", problem)
        told = problem
