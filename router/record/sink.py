"""The way of a record from a request to the store, without the request ever waiting for it.

Records wait in a bounded queue; one thread writes them in batches and takes them off the queue
only once they are committed. Whatever can't be kept is counted, never silently lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

from router.errors import StoreError
from router.record.model import Interaction, PromiseState

_log = logging.getLogger("tutelage.record")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LOG_EVERY_S = 10.0


class Appender(Protocol):
    """What the sink needs of a store: ``Store.append``."""

    def append(
        self, batch: Sequence[Interaction], promise_states: Mapping[str, PromiseState]
    ) -> int: ...


class DropCounter(Protocol):
    """What the sink needs of the metrics: ``Metrics.add_dropped``."""

    def add_dropped(self, records: int) -> None: ...


class _Item(NamedTuple):
    interaction: Interaction
    promise_state: PromiseState | None


class Sink:
    """A bounded queue in front of the store, emptied by a thread of its own.

    ``capacity``: records that may wait, the batch being written included; beyond it a record is
    dropped. ``batch``: most records per transaction; ``flush_s``: longest time that a record
    waits for others to share its transaction. While the store fails, the writer retries with
    growing pauses and keeps everything. ``drain`` must be called before the process ends.
    """

    def __init__(
        self,
        store: Appender,
        metrics: DropCounter,
        capacity: int = 10_000,
        batch: int = 200,
        flush_s: float = 0.2,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._capacity = capacity
        self._batch = batch
        self._flush_s = flush_s
        self._queue: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._deadline: float | None = None
        self._dropped = 0
        self._lost_at_drain: int | None = None
        self._notices = _Throttle(_LOG_EVERY_S)
        self._writer = threading.Thread(target=self._run, name="tutelage-sink", daemon=True)
        self._writer.start()

    @property
    def lag(self) -> int:
        """Records that were taken and aren't in the store yet."""
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """Records that will never reach the store."""
        return self._dropped

    def put(self, interaction: Interaction, promise_state: PromiseState | None = None) -> None:
        """Hand over a record; never waits. Dropped, and counted, where the queue is full.

        ``promise_state``: the certificate of the workload as it stands after this interaction
        and all that were put before it.
        """
        with self._changed:
            waiting = len(self._queue)
            taken = waiting < self._capacity and self._deadline is None
            if taken:
                self._queue.append(_Item(interaction, promise_state))
                # Only at these two lengths does the writer's next step depend on this record.
                if waiting + 1 in (1, self._batch):
                    self._changed.notify()
        if not taken:
            self._drop(1, "the queue to the store is full or closed")

    def drain(self, timeout_s: float) -> int:
        """Write what waits, take nothing more, and stop; returns how many records were lost.

        Waits at most ``timeout_s``, also for a failing store. A call of the store that hangs
        beyond that counts as lost, although it may yet succeed. Blocks: call it off the event
        loop. A second call returns the first one's result.
        """
        with self._changed:
            if self._lost_at_drain is not None:
                return self._lost_at_drain
            self._deadline = time.monotonic() + timeout_s
            self._changed.notify()
        self._writer.join(timeout_s + 0.05)
        with self._changed:
            self._lost_at_drain = len(self._queue)
        if self._lost_at_drain:
            self._drop(self._lost_at_drain, "the store didn't take them before the end")
        return self._lost_at_drain

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while items := self._next_batch():
            try:
                self._write(items)
            except StoreError as error:
                if self._notices.due():
                    _log.warning("%s; %d records wait and are retried", error, self.lag)
                if not self._rest(pause_s):
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            else:
                pause_s = _FIRST_PAUSE_S

    def _next_batch(self) -> list[_Item]:
        """The oldest records, left in the queue; empty when there is nothing more to write."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._deadline is not None)
            self._changed.wait_for(
                lambda: len(self._queue) >= self._batch or self._deadline is not None,
                self._flush_s,
            )
            if self._deadline is not None and time.monotonic() >= self._deadline:
                return []
            return list(islice(self._queue, self._batch))

    def _write(self, items: Sequence[_Item]) -> None:
        try:
            self._store.append([item.interaction for item in items], _covering_states(items))
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 the writer has to survive whatever a record holds
            if len(items) > 1:
                # One of them can't be stored. Each gets a transaction, so that only it is lost.
                for item in items:
                    self._write([item])
                return
            _log.exception("interaction %s can't be stored", items[0].interaction.id)
            self._drop(1, "they can't be stored")
        with self._changed:
            for _ in items:
                self._queue.popleft()

    def _rest(self, pause_s: float) -> bool:
        """Wait before the next try; False where the sink's time is up."""
        with self._changed:
            if self._deadline is None:
                self._changed.wait_for(lambda: self._deadline is not None, pause_s)
                return True
            left_s = self._deadline - time.monotonic()
            if left_s > 0:
                self._changed.wait_for(lambda: False, min(pause_s, left_s))
            return time.monotonic() < self._deadline

    def _drop(self, records: int, why: str) -> None:
        with self._changed:
            self._dropped += records
            total, due = self._dropped, self._notices.due()
        self._metrics.add_dropped(records)
        if due:
            _log.error("%d records were dropped so far; now because %s", total, why)


class _Throttle:
    """Lets one notice pass per period."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._next_at = 0.0

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next_at:
            return False
        self._next_at = now + self._period_s
        return True


def _covering_states(items: Sequence[_Item]) -> dict[str, PromiseState]:
    """The last state of each workload, unless a trial follows that it doesn't cover.

    Without it the older state in the store stays, and what follows that one is replayed.
    """
    states: dict[str, PromiseState] = {}
    for interaction, state in items:
        if state is not None:
            states[interaction.workload] = state
        elif interaction.level is not None:
            states.pop(interaction.workload, None)
    return states
