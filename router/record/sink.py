"""The way of a record from a request to the store, without the request ever waiting for it.

Records wait in a bounded queue; one thread writes them in batches and takes them off the queue
only once they are committed. With a journal each is on disk before its answer has ended: what the
queue has no room for is read back from there, and a killed process loses nothing. Whatever can't
be kept is counted, never silently lost.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple, Protocol

from router.errors import StoreError
from router.record.journal import Journal
from router.record.lines import write_line
from router.record.model import Interaction, PromiseState
from router.record.recovery import replay

_log = logging.getLogger("tutelage.record")

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LOG_EVERY_S = 10.0


class Appender(Protocol):
    """What the sink needs of a store: ``Store.append``."""

    def append(
        self, batch: Sequence[Interaction], promise_states: Mapping[str, PromiseState] = ...
    ) -> int: ...


class DropCounter(Protocol):
    """What the sink needs of the metrics."""

    def add_dropped(self, records: int) -> None: ...
    def add_bodies_dropped(self, records: int) -> None: ...


class _Item(NamedTuple):
    interaction: Interaction
    promise_state: PromiseState | None
    segment: int | None


class Sink:
    """A bounded queue in front of the store, emptied by a thread of its own.

    ``capacity``: records that may wait, the batch being written included; beyond it a record is
    dropped. ``batch``: most records per transaction; ``flush_s``: longest time that a record
    waits for others to share its transaction. While the store fails, the writer retries with
    growing pauses and keeps everything. ``drain`` must be called before the process ends.

    ``journal``: closed at the end. With it nothing is dropped while the disk has room; beyond
    ``journal_bytes`` on disk, lines are written without content, and counted.
    """

    def __init__(
        self,
        store: Appender,
        metrics: DropCounter,
        capacity: int = 10_000,
        batch: int = 200,
        flush_s: float = 0.2,
        journal: Journal | None = None,
        journal_bytes: int = 1 << 30,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._capacity = capacity
        self._batch = batch
        self._flush_s = flush_s
        self._journal = journal
        self._journal_bytes = journal_bytes
        self._noted: dict[str, tuple[Interaction, int | None]] = {}
        self._spilled: dict[int, int] = {}
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
        with self._changed:
            return len(self._queue) + sum(self._spilled.values())

    @property
    def dropped(self) -> int:
        """Records that will never reach the store."""
        return self._dropped

    async def note(self, interaction: Interaction, *, final: bool = True) -> None:
        """Put a record into the journal before its answer has ended; ``put`` follows.

        ``final``: what is put will be the same, unless the client leaves before the last byte.
        """
        if self._journal is None:
            return
        with self._changed:
            open_ = interaction.stream or not final
            segment = self._write_line(interaction, open_=open_)
            _, earlier = self._noted.pop(interaction.id, (None, None))
            self._noted[interaction.id] = interaction, segment
        self._release(earlier)
        await self._journal.synced()

    def put(self, interaction: Interaction, promise_state: PromiseState | None = None) -> None:
        """Hand over a record; never waits. What finds no room, on disk neither, is dropped and
        counted.

        ``promise_state``: the certificate of the workload as it stands after this interaction
        and all that were put before it.
        """
        with self._changed:
            earlier = None
            noted, segment = self._noted.pop(interaction.id, (None, None))
            if noted is not interaction:
                earlier, segment = segment, self._write_line(interaction, open_=False)
            waiting = len(self._queue)
            taken = waiting < self._capacity and self._deadline is None and not self._spilled
            if taken:
                self._queue.append(_Item(interaction, promise_state, segment))
                # Only at these two lengths does the writer's next step depend on this record.
                if waiting + 1 in (1, self._batch):
                    self._changed.notify()
            elif segment is not None:
                # All that follow go the same way until the writer has caught up: order is kept.
                self._spilled[segment] = self._spilled.get(segment, 0) + 1
                self._changed.notify()
        self._release(earlier)
        if not taken and segment is None:
            self._drop(1, "the queue to the store is full or closed")

    def _write_line(self, interaction: Interaction, *, open_: bool) -> int | None:
        """The segment that holds it now; None where there is no journal or no room on disk."""
        if self._journal is None:
            return None
        if interaction.stored and self._journal.size > self._journal_bytes:
            interaction = replace(interaction, stored=False)
            self._metrics.add_bodies_dropped(1)
        try:
            return self._journal.append(write_line(interaction, open_=open_))
        except OSError as error:
            if self._notices.due():
                _log.error("the journal can't be written (%s); records are in memory", error)
            return None

    def _release(self, segment: int | None) -> None:
        if segment is not None and self._journal is not None:
            self._journal.release(segment)

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
            # The others are on disk, for the next process.
            self._lost_at_drain = sum(item.segment is None for item in self._queue)
        if self._journal is not None:
            self._journal.close()
        if self._lost_at_drain:
            self._drop(self._lost_at_drain, "the store didn't take them before the end")
        return self._lost_at_drain

    def _run(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while (items := self._next_batch()) or self._behind:
            try:
                if items:
                    self._write(items)
                else:
                    self._catch_up()
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
            self._changed.wait_for(
                lambda: self._queue or self._spilled or self._deadline is not None
            )
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
        for item in items:
            self._release(item.segment)

    @property
    def _behind(self) -> bool:
        """There are records on disk only, and time to write them."""
        with self._changed:
            late = self._deadline is not None and time.monotonic() >= self._deadline
            return bool(self._spilled) and not late

    def _catch_up(self) -> None:
        """Write what found no room in the queue, which is empty now, from the journal."""
        if self._journal is None:
            return
        with self._changed:
            # Their deliveries run: what is known of them isn't the last word.
            running = set(self._noted)
            self._journal.close_segment()
            spilled = dict(self._spilled)
        done = replay(self._journal.closed(), self._store, but=running)
        if done.refused:
            self._drop(done.refused, "they can't be stored")
        for segment, records in spilled.items():
            with self._changed:
                self._spilled[segment] -= records
                if not self._spilled[segment]:
                    del self._spilled[segment]
            self._journal.release(segment, records)

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
    for interaction, state, _ in items:
        if state is not None:
            states[interaction.workload] = state
        elif interaction.level is not None:
            states.pop(interaction.workload, None)
    return states
