"""Where the workers of one gateway show each other their metrics: a folder with a file of each.

A worker's file says what it had counted about a second ago. It is posted also before a page is made
of it, so that whoever is asked next shows no less. A lock tells who lives; what dead ones had
counted is kept, folded into one file by the process that started them all.
"""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import orjson

from router.meter.pooling import Reading, fold, parse_reading, write_reading
from router.record.file_lock import FileLock

_READING = ".reading"
_LOCK = ".lock"
_ENDED = "ended"
_MOST_VALUES = 100
_MOST_NAMES = 100
"""Of folded files; a file is deleted right after it was folded, so that few are ever looked up."""


class Board:
    """One worker's place in the folder, until its process ends. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError where the folder can't be written."""
        self._folder = folder
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._turn = threading.Lock()
        self._alive = FileLock.take_own(folder / f"{self._name}{_LOCK}")

    def post(self, read: Callable[[], Reading]) -> Reading:
        """Read the metrics and show them to the others. Raises OSError."""
        with self._turn:  # an older reading must not come after a newer one
            reading = read()
            _replace(self._folder / f"{self._name}{_READING}", write_reading(reading))
            return reading

    def look(self) -> tuple[list[Reading], list[Reading]]:
        """What the others have posted: those that live, and those that have ended."""
        living: dict[str, Reading] = {}
        ended: dict[str, Reading] = {}
        for name, reading in _read_all(self._folder).items():
            if name != self._name:
                (living if _is_alive(self._folder, name) else ended)[name] = reading
        # Read last: what was folded since then is in here and named.
        folded = _read_folded(self._folder)
        once = [reading for name, reading in ended.items() if name not in folded.names]
        told = [reading for name, reading in living.items() if name not in folded.names]
        return told, [*once, folded.reading]


class _Folded(NamedTuple):
    """``names``: of the workers whose counts are in it."""

    names: list[str]
    reading: Reading


def fold_ended(folder: Path) -> None:
    """Put what ended workers had counted into one file. For one process alone; what can't be read
    or written now is left for the next time."""
    with suppress(OSError):
        dead = {}
        for path in sorted(folder.glob(f"*{_LOCK}")):
            lock = FileLock.take(path)
            if lock is not None:
                dead[path.name.removesuffix(_LOCK)] = lock
        try:
            _fold(folder, {name: one for name, one in _read_all(folder).items() if name in dead})
        except OSError:
            for lock in dead.values():
                lock.give_back(remove=False)
            raise
        for lock in dead.values():
            lock.give_back(remove=True)


def _fold(folder: Path, ended: Mapping[str, Reading]) -> None:
    if not ended:
        return
    before = _read_folded(folder)
    fresh = [reading for name, reading in ended.items() if name not in before.names]
    names = [*before.names, *(name for name in ended if name not in before.names)]
    together = fold([before.reading, *fresh], _MOST_VALUES)
    written = orjson.dumps(
        {"names": names[-_MOST_NAMES:], "reading": orjson.Fragment(write_reading(together))}
    )
    _replace(folder / _ENDED, written)
    for name in ended:
        (folder / f"{name}{_READING}").unlink(missing_ok=True)


def _read_folded(folder: Path) -> _Folded:
    try:
        given = orjson.loads((folder / _ENDED).read_bytes())
    except FileNotFoundError:
        return _Folded([], Reading(families=()))
    return _Folded(given["names"], parse_reading(orjson.dumps(given["reading"])))


def _read_all(folder: Path) -> dict[str, Reading]:
    """By the name of the worker; what is taken away meanwhile is passed over."""
    found = {}
    for path in sorted(folder.glob(f"*{_READING}")):
        with suppress(FileNotFoundError):
            found[path.name.removesuffix(_READING)] = parse_reading(path.read_bytes())
    return found


def _is_alive(folder: Path, name: str) -> bool:
    lock = FileLock.take(folder / f"{name}{_LOCK}")
    if lock is None:
        return True
    lock.give_back(remove=False)
    return False


def _replace(path: Path, content: bytes) -> None:
    """In one step for whoever reads it."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
