"""Several processes behind one listening socket, each a whole gateway over the shared store."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Callable
from multiprocessing import connection, get_context
from multiprocessing.context import SpawnProcess
from types import FrameType

_PATIENCE_S = 60.0
"""For the workers to drain: longer than each gives itself."""

_SHORT_LIFE_S = 5.0
"""A worker that ends sooner is not started again at once."""

_MOST_PAUSE_S = 10.0

Work = Callable[[socket.socket], None]
"""A worker's whole life; it ends by itself on SIGTERM. Must be importable: it runs elsewhere."""


class Workers:
    """Keeps ``count`` processes running until it is told to stop.

    One that ends is replaced; what it had settled is recovered from its journal by another.
    ``tend``: what else is to be done about those that have ended, called about once a second.
    """

    def __init__(
        self, work: Work, listener: socket.socket, count: int, tend: Callable[[], None]
    ) -> None:
        self._work = work
        self._listener = listener
        self._count = count
        self._tend = tend
        self._context = get_context("spawn")
        self._running: dict[SpawnProcess, float] = {}
        self._stopping = False

    def run(self) -> bool:
        """Until SIGTERM or Ctrl-C; false where a worker had to be killed in the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        pause_s = 0.0
        while not self._stopping:
            while len(self._running) < self._count and not self._stopping:
                self._start()
            ended = self._wait(1.0)
            self._tend()
            if any(lived_s < _SHORT_LIFE_S for lived_s in ended):
                pause_s = min(_MOST_PAUSE_S, 2 * pause_s or 0.5)
                self._rest(pause_s)
            elif ended:
                pause_s = 0.0
        return self._end()

    def _start(self) -> None:
        process = self._context.Process(target=self._work, args=(self._listener,))
        process.start()
        self._running[process] = time.monotonic()

    def _wait(self, timeout_s: float) -> list[float]:
        """Seconds that those lived which have ended."""
        connection.wait([process.sentinel for process in self._running], timeout_s)
        gone = [process for process in self._running if not process.is_alive()]
        return [time.monotonic() - self._running.pop(process) for process in gone]

    def _rest(self, pause_s: float) -> None:
        end_s = time.monotonic() + pause_s
        while time.monotonic() < end_s and not self._stopping:
            time.sleep(0.05)

    def _end(self) -> bool:
        for process in self._running:
            process.terminate()
        end_s = time.monotonic() + _PATIENCE_S
        for process in self._running:
            process.join(max(0.0, end_s - time.monotonic()))
        late = [process for process in self._running if process.is_alive()]
        for process in late:
            process.kill()
        return not late

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True
