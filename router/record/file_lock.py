"""A lock that ends with its process, however that ends."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_TRIES = 100
_PAUSE_S = 0.01


class FileLock:
    """Held from ``take`` until ``give_back`` or the end of the process."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    @classmethod
    def take(cls, path: Path) -> FileLock | None:
        """The lock, None where somebody holds it or has just taken the file away. Raises OSError
        where the file can't be made."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if sys.platform == "win32":
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever held it may have taken the file away since it was opened here.
            held = os.path.samestat(os.fstat(descriptor), os.stat(path))
        except OSError:
            held = False
        if held:
            return cls(descriptor, path)
        os.close(descriptor)
        return None

    @classmethod
    def take_own(cls, path: Path) -> FileLock:
        """The lock of this process's own file: whoever looks for dead owners may hold it for a
        moment. Raises OSError where it is held for longer, or as ``take`` does."""
        for _ in range(_TRIES):
            lock = cls.take(path)
            if lock is not None:
                return lock
            time.sleep(_PAUSE_S)
        raise OSError(errno.EAGAIN, "its lock is held by another process")

    def give_back(self, *, remove: bool) -> None:
        """Let go; ``remove`` takes the file away as well."""
        if remove and sys.platform != "win32":
            self._path.unlink(missing_ok=True)  # while it is held, so that nobody takes it between
        os.close(self._descriptor)
        if remove and sys.platform == "win32":
            self._path.unlink(missing_ok=True)
