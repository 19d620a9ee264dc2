"""Records end after ``data.retention_days``: the gateway looks once an hour."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from router.errors import StoreError
from router.record.store import Store

_log = logging.getLogger("tutelage.retention")

DAY_S = 86_400.0
_LOOK_EVERY_S = 3600.0


def oldest_kept(retention_days: int, now: float) -> float:
    """Seconds since the epoch before which nothing is kept."""
    return now - retention_days * DAY_S


async def keep_retention(
    store: Store,
    retention_days: int,
    clock: Callable[[], float] = time.time,
    every_s: float = _LOOK_EVERY_S,
) -> None:
    """Purge at once and then every hour, until cancelled. A store that fails is tried again.

    Several gateways on one store do no harm: what one deleted the other doesn't find.
    """
    while True:
        try:
            purged = await run_in_threadpool(
                store.purge_before, oldest_kept(retention_days, clock())
            )
            if purged:
                _log.info("%d records were older than %d days.", purged, retention_days)
        except StoreError as error:
            _log.error("Old records could not be purged: %s", error)
        await asyncio.sleep(every_s)
