"""Callers' keys that are kept in the store: their digests, never the keys themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal

from sqlalchemy import insert, select, update

from router.errors import StoreError
from router.record.database import Database
from router.record.schema import keys


@dataclass(frozen=True, kw_only=True)
class StoredKey:
    """A caller. ``sha256``: of the key, in hexadecimal; times in seconds since the epoch, None for
    never; ``budget_per``: hour, day, week or month."""

    name: str
    tenant: str
    sha256: str
    train_on: bool = False
    budget_usd: Decimal | None = None
    budget_per: str | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None

    def is_valid(self, at_s: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > at_s)


class KeyBook:
    """Keys by name; a revoked one keeps its name, which interactions were recorded under."""

    _database: Database
    _clock: Callable[[], float]

    def add_key(self, key: StoredKey) -> StoredKey:
        """Enter a key. Raises StoreError where the name was given before."""
        values = {**asdict(key), "created_at": self._clock()}
        with self._database.write() as connection:
            known = select(keys.c.name).where(keys.c.name == key.name)
            if connection.execute(known).first() is not None:
                raise StoreError(f"there is a key {key.name!r} already; choose another name")
            connection.execute(insert(keys).values(values))
        return StoredKey(**values)

    def keys(self) -> list[StoredKey]:
        """All of them by name, those that aren't valid any more too."""
        with self._database.read() as connection:
            found = connection.execute(select(keys).order_by(keys.c.name)).mappings()
            return [StoredKey(**row) for row in found]

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
