"""Connections to the store: opening it, transactions, and the one place that maps its errors."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import create_engine, event, inspect, select, update
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)
from sqlalchemy.pool import StaticPool

from router.errors import StoreError
from router.record.schema import SCHEMA_VERSION, feedback, meta, metadata

_BUSY_TIMEOUT_S = 5.0

_EXPLANATIONS = (
    ("not a database", "is not a SQLite database; point store.url at another file"),
    ("malformed", "is damaged; restore it from a backup or move it away"),
    ("disk image", "is damaged; restore it from a backup or move it away"),
    ("readonly", "can't be written; check the permissions of the file and of its folder"),
    ("unable to open", "can't be opened; check that its folder exists and may be written"),
    ("disk is full", "can't be written because the disk is full"),
    ("locked", "is locked by another process; try again when that has ended"),
    ("no such table", "lacks a table; restore it from a backup or move it away"),
    ("no such column", "has tables of another program; point store.url at another file"),
)


class Database:
    """One store's engine. Thread-safe; every error of the store leaves it as a StoreError.

    Errors of a single record (it exists already, it can't be stored) pass through unchanged.
    """

    def __init__(self, engine: Engine, name: str, *, shared_connection: bool) -> None:
        self._engine = engine
        self._name = name
        # In memory there is one connection for all threads, so transactions must take turns.
        self._turn = threading.RLock() if shared_connection else nullcontext()
        self._file: tuple[int, int] | None = None

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the store at ``url`` and create what is missing.

        ``url``: ``sqlite:///FILE`` or ``:memory:``. Raises StoreError for anything that can't
        serve as a store: another database, a damaged or read-only file, a newer schema.
        """
        parsed = _parse(url)
        in_memory = parsed.database in (None, "", ":memory:")
        pooling: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
        engine = create_engine(
            parsed,
            json_serializer=dump_json,
            connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_S},
            **pooling,
        )
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        database = cls(engine, parsed.database or ":memory:", shared_connection=in_memory)
        try:
            database._create()
        except BaseException:
            engine.dispose()
            raise
        database._file = database._find_file()
        return database

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, from one consistent state."""
        with self._turn, self._mapped(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that has the store to itself: all of it is committed, or nothing."""
        with self._turn, self._mapped(), self._engine.connect() as plain:
            connection = plain.execution_options(tutelage_write=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Release all connections; the store may be opened again."""
        self._engine.dispose()

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        # An open connection goes on writing to a file that has no name any more.
        if self._find_file() != self._file and self._file is not None:
            raise StoreError(
                f"the store {self._name} was deleted or replaced; put it back or restart"
            )
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            if _is_of_record(error):
                raise
            raise StoreError(self._explain(error)) from error

    def _find_file(self) -> tuple[int, int] | None:
        """What tells the file from another of the same name; None where there is none."""
        try:
            found = os.stat(self._name)
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino

    def _explain(self, error: Exception) -> str:
        cause = str(getattr(error, "orig", None) or error)
        for sign, explanation in _EXPLANATIONS:
            if sign in cause:
                return f"the store {self._name} {explanation}"
        return f"the store {self._name} failed: {cause}"

    def _create(self) -> None:
        with self.write() as connection:
            ours = set(metadata.tables)
            found = ours.intersection(inspect(connection).get_table_names())
            if not found:
                metadata.create_all(connection)
                version = {"key": "schema_version", "value": str(SCHEMA_VERSION)}
                connection.execute(meta.insert().values(version))
                return
            if meta.name not in found:
                raise StoreError(
                    f"the store {self._name} belongs to another program;"
                    " point store.url at another file"
                )
            if self._check_version(connection) == 1:  # version 2 brought feedback
                feedback.create(connection, checkfirst=True)
                connection.execute(update(meta).values(value=str(SCHEMA_VERSION)))
                found.add(feedback.name)
            missing = sorted(ours - found)
            if missing:
                raise StoreError(
                    f"the store {self._name} lacks the table {missing[0]};"
                    " restore it from a backup or move it away"
                )
            # Found out now rather than with the first record: may the file be written at all?
            connection.execute(update(meta).values(value=meta.c.value))

    def _check_version(self, connection: Connection) -> int:
        query = select(meta.c.value).where(meta.c.key == "schema_version")
        version = connection.execute(query).scalar_one_or_none()
        if version is None or not version.isdecimal():
            raise StoreError(
                f"the store {self._name} doesn't say which version it has;"
                " point store.url at another file"
            )
        if not 1 <= int(version) <= SCHEMA_VERSION:
            raise StoreError(
                f"the store {self._name} has schema version {version} but this program knows"
                f" version {SCHEMA_VERSION}; use the release of tutelage that wrote it"
            )
        return int(version)


def _is_of_record(error: Exception) -> bool:
    """Whether a record, not the store, is at fault: this says nothing about the next record."""
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError | ProgrammingError)
    return isinstance(error, StatementError)  # raised while its values were converted


def dump_json(value: Any) -> str:
    """JSON text of ``value``; NaN and infinities, which JSON doesn't know, become null."""
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _parse(url: str) -> URL:
    try:
        parsed = make_url("sqlite://" if url == ":memory:" else url)
    except ArgumentError:
        raise StoreError(
            f"store.url {url!r} is no database address; write sqlite:///FILE"
        ) from None
    if parsed.get_backend_name() != "sqlite":
        raise StoreError(
            f"store.url names a {parsed.get_backend_name()} database, which this version"
            " doesn't support; write sqlite:///FILE"
        )
    return parsed.set(drivername="sqlite")


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    # The driver would begin transactions by itself, late and never for a read; _begin does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT_S * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a reader that turns writer later could deadlock.
    write = connection.get_execution_options().get("tutelage_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
