"""When the learner is at work: the traffic waits for it a little.

In service, training takes seconds and traffic lasts for days. The demonstration sends everything
within minutes, so without a pause most of it would be answered before the next student exists.
"""

from __future__ import annotations

import asyncio
import time

from distill.watch import survey
from router.record.store import Store
from router.settings.model import Settings

_POLL_S = 0.1
_TAKEN_UP_S = 1.2
"""The gateway looks once a second for a new release."""
_MOST_S = 180.0
"""On a machine that learns slowly the demo must end all the same."""


class Lull:
    """``now``: a cycle is due or runs, or its release is not yet taken up by the gateway."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self.now = False
        self._store, self._settings = store, settings

    async def follow(self) -> None:
        """Keep ``now`` up to date until cancelled, or until there were lulls enough."""
        spent_s, last_s = 0.0, time.perf_counter()
        while spent_s < _MOST_S:
            self.now = await asyncio.to_thread(self._look)
            await asyncio.sleep(_POLL_S)
            last_s, before_s = time.perf_counter(), last_s
            spent_s += (last_s - before_s) * self.now
        self.now = False

    def _look(self) -> bool:
        now = time.time()
        if any(standing.is_due(now) for standing in survey(self._store, self._settings)):
            return True
        ends = [cycle.ended_at for cycle in self._store.cycles(1)]
        return any(end is None or now < end + _TAKEN_UP_S for end in ends)
