"""Leases: who has something to itself, for as long as it says so again.

A process that is killed says nothing any more, so what it held is free soon afterwards. They lie
in ``meta``, one row a name, with the time of the store's clock: machines whose clocks differ by
more than half of ``LEASE_S`` take each other for dead too early or too late.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.engine import Connection

from router.record.database import Database
from router.record.schema import clean_text, meta

LEASE_S: Final = 45.0
"""Seconds without a sign of life after which a holder is taken for dead."""

BEAT_EVERY_S: Final = 10.0
"""Seconds between two signs of life: three may be late or lost."""

_NOBODY: Final = ("", 0.0)


class LeaseBook:
    """Leases by name. Each has one holder at most, also among processes and machines."""

    _database: Database
    _clock: Callable[[], float]

    def take_lease(self, name: str, holder: str) -> bool:
        """Hold it for ``LEASE_S`` from now; False while another does."""
        with self._database.write() as connection:
            return take(connection, name, holder, self._clock())

    def keep_lease(self, name: str, holder: str) -> bool:
        """A sign of life: hold it for ``LEASE_S`` from now. False where it isn't held any more,
        as it was given to another or back: then it isn't taken again."""
        with self._database.write() as connection:
            if _read(connection, name)[0] != holder:
                return False
            _write(connection, name, holder, self._clock() + LEASE_S)
            return True

    def end_lease(self, name: str, holder: str) -> None:
        """Give it back; of another's nothing is changed."""
        with self._database.write() as connection:
            give_back(connection, name, holder)

    def leased_until(self, name: str) -> float:
        """Seconds since the epoch until which it is held unless a sign of life comes; 0.0 where
        nobody holds it."""
        with self._database.read() as connection:
            return _read(connection, name)[1]


def take(connection: Connection, name: str, holder: str, now: float) -> bool:
    """``take_lease`` within a transaction that has the store to itself."""
    other, until = _read(connection, name)
    if other != holder and until > now:
        return False
    _write(connection, name, holder, now + LEASE_S)
    return True


def give_back(connection: Connection, name: str, holder: str) -> None:
    """``end_lease`` within a transaction that has the store to itself."""
    if _read(connection, name)[0] == holder:
        _write(connection, name, *_NOBODY)


def _key(name: str) -> str:
    return clean_text(f"lease:{name}")


def _read(connection: Connection, name: str) -> tuple[str, float]:
    """Its holder, and until when."""
    query = select(meta.c.value).where(meta.c.key == _key(name))
    value = connection.execute(query).scalar_one_or_none()
    if value is None:
        return _NOBODY
    holder, until = json.loads(value)
    return str(holder), float(until)


def _write(connection: Connection, name: str, holder: str, until: float) -> None:
    value = json.dumps([holder, until])
    change = update(meta).where(meta.c.key == _key(name)).values(value=value)
    if connection.execute(change).rowcount == 0:
        connection.execute(insert(meta).values(key=_key(name), value=value))
