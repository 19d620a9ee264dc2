"""Callers' keys that are kept in the store: their digests, never the keys themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select, update

from router.errors import StoreError
from router.record.database import Database
from router.record.schema import keys


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A caller. ``sha256``: of the key, in hexadecimal; times in seconds since the epoch, None for
    never; ``budget_per``: hour, day, week or month; ``scopes``: see ``router.scopes``.
    ``previous_sha256``: of the key before the last rotation, let in until ``previous_until``."""

    name: str
    tenant: str
    sha256: str
    train_on: bool = False
    budget_usd: Decimal | None = None
    budget_per: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    scopes: tuple[str, ...] = ()
    previous_sha256: str | None = None
    previous_until: float | None = None
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_valid(self, at_s: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at_s)

    def digests(self, at_s: float) -> tuple[str, ...]:
        """Of the keys that are let in: the present one, and the one before while it lasts."""
        previous, until_s = self.previous_sha256, self.previous_until
        lasts = previous is not None and until_s is not None and until_s > at_s
        return (self.sha256, previous) if lasts and previous is not None else (self.sha256,)


class KeyBook:
    """Keys by name; a revoked one keeps its name, which interactions were recorded under."""

    _database: Database
    _clock: Callable[[], float]

    def add_key(self, key: StoredKey) -> StoredKey:
        """Enter a key. Raises StoreError where the name was given before."""
        values = {**asdict(key), "scopes": list(key.scopes), "created_at": self._clock()}
        with self._database.write() as connection:
            known = select(keys.c.name).where(keys.c.name == key.name)
            if connection.execute(known).first() is not None:
                raise StoreError(f"there is a key {key.name!r} already; choose another name")
            connection.execute(insert(keys).values(values))
        return _read(values)

    def keys(self) -> list[StoredKey]:
        """All of them by name, those that aren't valid any more too."""
        with self._database.read() as connection:
            found = connection.execute(select(keys).order_by(keys.c.name)).mappings()
            return [_read(dict(row)) for row in found]

    def rotate_key(self, name: str, sha256: str, overlap_s: float) -> StoredKey:
        """Put another key in place of a caller's, which is let in for ``overlap_s`` more seconds;
        what the caller has spent and may do stays. Raises StoreError where there is no such key."""
        now_s = self._clock()
        change = (
            update(keys)
            .where(keys.c.name == name, keys.c.revoked_at.is_(None))
            .values(
                sha256=sha256,
                previous_sha256=keys.c.sha256 if overlap_s > 0 else None,
                previous_until=now_s + overlap_s if overlap_s > 0 else None,
            )
        )
        with self._database.write() as connection:
            if connection.execute(change).rowcount == 0:
                raise StoreError(f"no key {name!r} is in use; see 'tutelage keys list'")
            found = connection.execute(select(keys).where(keys.c.name == name)).mappings()
            return _read(dict(found.one()))

    def revoke_key(self, name: str) -> None:
        """Let it in no more. Raises StoreError where there is no such key."""
        change = (
            update(keys)
            .where(keys.c.name == name, keys.c.revoked_at.is_(None))
            .values(revoked_at=self._clock())
        )
        with self._database.write() as connection:
            if connection.execute(change).rowcount == 0:
                raise StoreError(f"no key {name!r} is in use; see 'tutelage keys list'")


def _read(row: Mapping[str, Any]) -> StoredKey:
    return StoredKey(**{**row, "scopes": tuple(row["scopes"])})
