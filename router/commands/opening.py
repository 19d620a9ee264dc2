"""What the commands share that read a gateway's store."""

from __future__ import annotations

from router.errors import StoreError
from router.record.store import Store
from router.settings.model import Settings


def open_store(settings: Settings) -> Store:
    """The store beside a gateway that may be running. Raises StoreError where none was made yet."""
    path = settings.store.file
    if path is not None and not path.exists():
        raise StoreError(
            f"There is no store at {path} yet: start the gateway with the same configuration first."
        )
    return Store.open(settings.store.url)
