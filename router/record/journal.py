"""What was settled, on disk before the last byte of its answer leaves.

Each process appends to files of its own, one line per interaction, and deletes a file once all its
lines are in the store. What a killed process leaves behind is replayed by the next one that starts,
or by one that runs beside it: ``router.record.recovery``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path

from router.errors import StoreError
from router.record.file_lock import FileLock

SEGMENT_BYTES = 16 << 20
LOCK_SUFFIX = ".lock"
SEGMENT_SUFFIX = ".journal"


@dataclass(kw_only=True)
class _Segment:
    """``waiting``: lines that aren't in the store yet."""

    path: Path
    size: int = 0
    waiting: int = 0


class Journal:
    """The files of one process in a folder that several may share. Thread-safe.

    ``sync``: whether ``synced`` waits until the disk has the lines, which outlasts a loss of power;
    without it they outlast the process, not the machine.
    """

    def __init__(
        self, folder: Path, *, sync: bool = False, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Raises StoreError where the folder can't be written."""
        self.folder = folder
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._sync = sync
        self._segment_bytes = segment_bytes
        self._changed = threading.Lock()
        self._segments: dict[int, _Segment] = {}
        self._current = 0
        self._written = self._flushed = 0
        self._flushing: asyncio.Future[None] | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock.take_own(self.folder / f"{self.owner}{LOCK_SUFFIX}")
            self._descriptor = self._open_segment()
        except OSError as error:
            raise StoreError(
                f"the journal {folder} can't be written ({error.strerror}); give store.folder a"
                " folder that may be written"
            ) from None
        self._lock = lock

    @property
    def size(self) -> int:
        """Bytes on disk."""
        with self._changed:
            return sum(segment.size for segment in self._segments.values())

    def append(self, line: bytes) -> int:
        """Write one line; returns its segment, for ``release``. Raises OSError: none is written."""
        with self._changed:
            segment = self._segments[self._current]
            if segment.size and segment.size + len(line) > self._segment_bytes:
                segment = self._rotate()
            written = os.write(self._descriptor, line)
            if written != len(line):  # the disk is full: a torn line must not spoil the next one
                os.ftruncate(self._descriptor, segment.size)
                raise OSError("the disk is full")
            segment.size += written
            segment.waiting += 1
            self._written += written
            return self._current

    def release(self, number: int, lines: int = 1) -> None:
        """Lines of a segment are in the store; a full segment without others is deleted."""
        with self._changed:
            segment = self._segments[number]
            segment.waiting -= lines
            if not segment.waiting and number != self._current:
                segment.path.unlink(missing_ok=True)
                del self._segments[number]

    def close_segment(self) -> None:
        """Go on in a new segment."""
        with self._changed:
            number = self._current
            self._rotate()
            if not self._segments[number].waiting:
                self._segments.pop(number).path.unlink(missing_ok=True)

    def closed(self) -> list[Path]:
        """The closed segments that hold lines which aren't in the store yet, oldest first."""
        with self._changed:
            return [s.path for n, s in self._segments.items() if n != self._current]

    async def synced(self) -> None:
        """Return once everything written so far is on disk; at once without ``sync``.

        One flush serves all that wait for it.
        """
        if not self._sync:
            return
        upto = self._written
        while self._flushed < upto:
            if self._flushing is None:
                self._flushing = asyncio.ensure_future(asyncio.to_thread(self._flush))
            try:
                await asyncio.shield(self._flushing)
            finally:
                if self._flushing is not None and self._flushing.done():
                    self._flushing = None

    def close(self) -> None:
        """Stop; what isn't in the store stays on disk for the next process."""
        with self._changed:
            os.close(self._descriptor)
            for number, segment in [*self._segments.items()]:
                if not segment.waiting:
                    segment.path.unlink(missing_ok=True)
                    del self._segments[number]
            self._lock.give_back(remove=not self._segments)

    def _rotate(self) -> _Segment:
        before = self._descriptor
        if self._sync:
            os.fsync(before)
        self._current += 1
        self._descriptor = self._open_segment()
        os.close(before)
        return self._segments[self._current]

    def _open_segment(self) -> int:
        path = self.folder / f"{self.owner}-{self._current:06d}{SEGMENT_SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags, 0o600)
        self._segments[self._current] = _Segment(path=path)
        return descriptor

    def _flush(self) -> None:
        with self._changed:
            upto, descriptor = self._written, os.dup(self._descriptor)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._flushed = upto
