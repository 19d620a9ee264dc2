"""Keeps a lease of the store while this process works; gives it back when that ends, also killed.

A thread can't: fitting calls into LAPACK, which holds the interpreter's lock for a minute. So where
the work takes longer than seconds a process beside it gives the signs of life
(``python -m distill.heartbeat``). It learns from its standard input that this one has ended.
"""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from distill.environment import find_modules
from router.errors import StoreError
from router.record.leases import BEAT_EVERY_S
from router.record.store import Store

_ALONE_S = 5.0
"""So long a process needs nobody beside it: its lease was just taken."""

_ENDS_WITHIN_S = 10.0


class Heartbeat:
    """Of one lease, which its maker has taken. ``close`` ends it, and gives nothing back."""

    def __init__(self, store: Store, name: str, holder: str) -> None:
        self._store, self._name, self._holder = store, name, holder
        self._lock = threading.Lock()
        self._beside: subprocess.Popen[bytes] | None = None
        self._closed = False
        # A store in memory ends with this process, and so does what is leased in it.
        self._timer = None if store.url is None else threading.Timer(_ALONE_S, self._begin)
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def is_lost(self) -> bool:
        """Whether it was given to another meanwhile; a sign of life where it wasn't."""
        with suppress(StoreError):  # that the store is busy is no reason to stop
            return not self._store.keep_lease(self._name, self._holder)
        return False

    def close(self) -> None:
        """No more signs of life."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._closed = True
            beside = self._beside
        if beside is None or beside.stdin is None:
            return
        with suppress(OSError):
            beside.stdin.close()
        try:
            beside.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            beside.kill()
            beside.wait()

    def _begin(self) -> None:
        with self._lock, suppress(OSError):
            if self._closed:
                return
            self._beside = subprocess.Popen(
                [sys.executable, "-m", "distill.heartbeat"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=find_modules(),
            )
            if self._beside.stdin is not None:
                told = json.dumps([self._store.url, self._name, self._holder])
                self._beside.stdin.write(told.encode() + b"\n")
                self._beside.stdin.flush()


@contextmanager
def hold(store: Store, name: str) -> Iterator[Heartbeat | None]:
    """Take a lease and keep it to the end of the block; None while another holds it."""
    holder = secrets.token_hex(8)
    if not store.take_lease(name, holder):
        yield None
        return
    beat = Heartbeat(store, name, holder)
    try:
        yield beat
    finally:
        beat.close()
        with suppress(StoreError):
            store.end_lease(name, holder)


def main() -> int:
    """Beat until standard input ends, then give back: at once, where the other was killed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the other may finish what it is at
    url, name, holder = json.loads(sys.stdin.readline())
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    store = Store.open(url)
    try:
        while not ended.is_set():
            with suppress(StoreError):
                if not store.keep_lease(name, holder):
                    return 1
            ended.wait(BEAT_EVERY_S)
        store.end_lease(name, holder)
    finally:
        store.close()
    return 0


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
