"""Two runs never train in one folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path


class Busy(ValueError):
    """Another run trains in the same folder."""


def lock_folder(folder: Path) -> sqlite3.Connection:
    """Held until it is closed. SQLite's lock works alike on all systems, and ends with the process,
    however that ends. Raises Busy."""
    lock = sqlite3.connect(folder / "lock.db", timeout=0.0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        raise Busy(f"Another run is training in {folder}: wait for it, or end it.") from error
    return lock
