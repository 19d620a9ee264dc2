"""What differs between the databases that can be a store: SQLite and PostgreSQL.

A writing transaction has the store to itself in both: SQLite by its write lock, PostgreSQL by an
advisory lock. So rows are numbered in the order of commitment, and whoever has read up to a number
has missed nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.pool import StaticPool

from router.errors import StoreError

BUSY_TIMEOUT_S: Final = 5.0
_CONNECT_TIMEOUT_S: Final = 5
_STORE_LOCK: Final = 0x747574656C616765  # "tutelage"

_SQLITE_SIGNS: Final = (
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
_POSTGRES_SIGNS: Final = (
    ("lock timeout", "is locked by another process; try again when that has ended"),
    ("authentication failed", "refuses the user or the password; check store.url"),
    ("no password supplied", "asks for a password; give it in PGPASSWORD or in store.url"),
    ("permission denied", "doesn't let this user do that; grant it the rights on its schema"),
    ("read-only transaction", "can't be written; point store.url at the primary server"),
    ("too many clients", "has no connection free; raise max_connections or serve fewer workers"),
    ("remaining connection slots", "has no connection free; raise max_connections"),
    ("No space left", "can't be written because the disk is full"),
    ("could not extend", "can't be written because the disk is full"),
    ("does not exist", "lacks a database, a user or a table; create it or check store.url"),
    ("connection", "can't be reached; check that the server runs and that store.url is right"),
    ("connect", "can't be reached; check that the server runs and that store.url is right"),
)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """An engine and what is known about its kind.

    ``name``: for messages, without a password; ``file``: of SQLite, None where there is none;
    ``in_memory``: one connection serves all threads; ``signs``: words of the driver's messages
    with what they mean; ``is_of_record``: whether a record, not the store, is at fault, which says
    nothing about the next record.
    """

    engine: Engine
    name: str
    file: str | None
    in_memory: bool
    signs: tuple[tuple[str, str], ...]
    is_of_record: Callable[[Exception], bool]


def open_backend(url: str, dump_json: Callable[[Any], str]) -> Backend:
    """The engine for ``url``, not connected yet. Raises StoreError for what can't be a store."""
    try:
        parsed = make_url("sqlite://" if url == ":memory:" else url)
    except ArgumentError:
        raise StoreError(
            f"store.url {url!r} is no database address; write sqlite:///FILE"
            " or postgresql://USER@HOST/DATABASE"
        ) from None
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        return _open_sqlite(parsed, dump_json)
    if kind == "postgresql":
        return _open_postgres(parsed, dump_json)
    raise StoreError(
        f"store.url names a {kind} database, which can't be a store; write sqlite:///FILE"
        " or postgresql://USER@HOST/DATABASE"
    )


def _open_sqlite(parsed: URL, dump_json: Callable[[Any], str]) -> Backend:
    in_memory = parsed.database in (None, "", ":memory:")
    pooling: dict[str, Any] = {"poolclass": StaticPool} if in_memory else {}
    engine = create_engine(
        parsed.set(drivername="sqlite"),
        json_serializer=dump_json,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S},
        **pooling,
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return Backend(
        engine=engine,
        name=parsed.database or ":memory:",
        file=None if in_memory else parsed.database,
        in_memory=in_memory,
        signs=_SQLITE_SIGNS,
        is_of_record=_is_of_sqlite_record,
    )


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    # The driver would begin transactions by itself, late and never for a read; _begin does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.execute("PRAGMA foreign_keys = ON")
    finally:
        cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # IMMEDIATE takes the write lock at once: a reader that turns writer later could deadlock.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _is_of_sqlite_record(error: Exception) -> bool:
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError | ProgrammingError)
    return isinstance(error, StatementError)  # raised while its values were converted


def _open_postgres(parsed: URL, dump_json: Callable[[Any], str]) -> Backend:
    if find_spec("psycopg") is None:
        raise StoreError("a PostgreSQL store needs more packages: pip install 'tutelage[postgres]'")
    engine = create_engine(
        parsed.set(drivername="postgresql+psycopg"),
        json_serializer=dump_json,
        pool_pre_ping=True,  # after a restart of the server the old connections are dead
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": "tutelage",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "options": f"-c lock_timeout={int(BUSY_TIMEOUT_S * 1000)}",
        },
    )
    event.listen(engine, "begin", _begin_postgres)
    return Backend(
        engine=engine,
        name=parsed.render_as_string(hide_password=True),
        file=None,
        in_memory=False,
        signs=_POSTGRES_SIGNS,
        is_of_record=_is_of_postgres_record,
    )


def _begin_postgres(connection: Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_STORE_LOCK})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _is_of_postgres_record(error: Exception) -> bool:
    if isinstance(error, ProgrammingError):
        # With a code it is about tables or rights, without one about a value.
        return getattr(error.orig, "sqlstate", None) is None
    if isinstance(error, DBAPIError):
        return isinstance(error, IntegrityError | DataError)
    return isinstance(error, StatementError)


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("tutelage_write", False))
