"""Where things are kept, and what workers and replicas share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from router.settings.values import Count, Section, Text

_SQLITE = "sqlite:///"


def _check_store(url: str) -> str:
    if url.startswith(_SQLITE):
        if url == _SQLITE:
            raise ValueError("names no file: use sqlite:///FILE")
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "postgresql":
        raise ValueError(
            "is not supported in this version: write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        )
    if not parts.path.strip("/"):
        raise ValueError("names no database: write postgresql://USER@HOST/DATABASE")
    return url


def _check_coordination(url: str) -> str:
    if url != "memory://" and not url.startswith(("redis://", "rediss://")):
        raise ValueError("is not supported in this version: write memory:// or redis://HOST:PORT")
    return url


class JournalSettings(Section):
    """What outlasts a killed process. ``sync``: also a loss of power, at the price of a disk flush
    per answer; ``max_mb``: beyond it, records that wait for the store are kept without content."""

    sync: bool = False
    max_mb: Count = 1024


class StoreSettings(Section):
    """Where records and money go. ``folder``: where files beside a PostgreSQL store lie (journal,
    releases); those of SQLite lie beside its file unless it is given."""

    url: Annotated[str, AfterValidator(_check_store)] = "sqlite:///tutelage.db"
    folder: Text | None = None
    journal: JournalSettings = JournalSettings()

    @property
    def file(self) -> Path | None:
        """The file of a SQLite store."""
        return Path(self.url.removeprefix(_SQLITE)) if self.url.startswith(_SQLITE) else None

    @property
    def shown(self) -> str:
        """Where it is, for people: without a password."""
        if self.file is not None:
            return str(self.file.absolute())
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def beside(self, name: str) -> Path:
        """A folder that belongs to the store."""
        file = self.file or Path("tutelage")
        folder = file.parent if self.folder is None else Path(self.folder)
        return folder / f"{file.stem}-{name}"


class CoordinationSettings(Section):
    url: Annotated[str, AfterValidator(_check_coordination)] = "memory://"
