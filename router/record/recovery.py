"""From journals to the store: each interaction once, whatever was written of it already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from router.errors import StoreError
from router.record.file_lock import FileLock
from router.record.journal import LOCK_SUFFIX, SEGMENT_SUFFIX
from router.record.lines import read_lines
from router.record.model import Interaction

_log = logging.getLogger("tutelage.record")

_BATCH = 200
_REFUSED_SUFFIX = ".refused"
_MOST_OPEN = 50_000


class Appender(Protocol):
    """What is needed of a store: ``Store.append``, which skips what it has."""

    def append(self, batch: Sequence[Interaction]) -> int: ...


@dataclass(kw_only=True)
class Replayed:
    """``new``: interactions that the store didn't have; ``damaged``: lines that can't be read;
    ``refused``: interactions that can't be stored."""

    new: int = 0
    damaged: int = 0
    refused: int = 0


def replay(
    paths: Iterable[Path], store: Appender, *, but: Container[str] = frozenset()
) -> Replayed:
    """Append what the files hold, in order; ``but``: ids to leave out.

    A line that was written before its delivery had ended waits for a later one of the same
    interaction, which takes its place. May be repeated. Raises StoreError.
    """
    done = Replayed()
    batch: list[Interaction] = []
    unended: dict[str, Interaction] = {}

    def take(record: Interaction) -> None:
        batch.append(record)
        if len(batch) >= _BATCH:
            _append(store, batch, done)
            batch.clear()

    for path in paths:
        for line in read_lines(path):
            if line is None:
                done.damaged += 1
            elif line.interaction.id not in but:
                record = line.interaction
                unended.pop(record.id, None)
                if not line.open:
                    take(record)
                    continue
                unended[record.id] = record
                if len(unended) > _MOST_OPEN:
                    take(unended.pop(next(iter(unended))))
    for record in unended.values():
        take(record)
    _append(store, batch, done)
    return done


def _append(store: Appender, batch: Sequence[Interaction], done: Replayed) -> None:
    if not batch:
        return
    try:
        done.new += store.append(batch)
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 one that can't be stored must not keep the others out
        if len(batch) > 1:
            for record in batch:
                _append(store, [record], done)
            return
        _log.exception("interaction %s can't be stored", batch[0].id)
        done.refused += 1


def adopt(folder: Path, store: Appender, *, count_lost: Callable[[int], None]) -> int:
    """Replay and delete the journals of processes that have ended; returns how many interactions
    were new to the store.

    Each is taken by one process only. ``count_lost`` is told of what can't be stored; the files
    are then kept under another name. Raises StoreError, which leaves them for the next time.
    """
    found = 0
    for path in sorted(folder.glob(f"*{LOCK_SUFFIX}")):
        try:
            lock = FileLock.take(path)
        except OSError:
            continue
        if lock is None:  # it lives
            continue
        whole = False
        try:
            segments = sorted(folder.glob(f"{path.stem}-*{SEGMENT_SUFFIX}"))
            done = replay(segments, store)
            if done.damaged:
                _log.warning("%d lines of the journal %s can't be read", done.damaged, path.stem)
            count_lost(done.refused)
            found += done.new
            for segment in segments:
                if done.refused:  # for people to look at: nothing else has what was refused
                    segment.rename(segment.with_suffix(_REFUSED_SUFFIX))
                else:
                    segment.unlink(missing_ok=True)
            whole = True
        finally:
            lock.give_back(remove=whole)
    if found:
        _log.warning("%d interactions of a gateway that was killed were recovered", found)
    return found
