"""Connections to the store: opening it, transactions, and the one place that maps its errors."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from router.errors import StoreError
from router.record.engines import Backend, open_backend
from router.record.upgrade import bring_up_to_date
from router.wire.written_json import write_json


class Database:
    """One store's engine. Thread-safe; every error of the store leaves it as a StoreError.

    Errors of a single record (it exists already, it can't be stored) pass through unchanged.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._engine = backend.engine
        # In memory there is one connection for all threads, so transactions must take turns.
        self._turn = threading.RLock() if backend.in_memory else nullcontext()
        self._file: tuple[int, int] | None = None
        self.url: str | None = None
        """As it was opened; None where it ends with its process. It may hold a password."""

    @classmethod
    def open(cls, url: str) -> Database:
        """Open the store at ``url``, create it where it is empty, bring an older one up to date.

        ``url``: ``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE`` or ``:memory:``. Raises
        StoreError for anything that can't serve as a store: another database, a damaged or
        read-only file, a server that isn't there, a newer schema.
        """
        database = cls(open_backend(url, dump_json))
        database.url = None if database.in_memory else url
        try:
            with database.write() as connection:
                bring_up_to_date(connection, database._backend.name)
        except SQLAlchemyError as error:  # one that ``write`` takes for a record's
            database.close()
            raise StoreError(
                f"the store {database._backend.name} can't be brought up to date and stays as it"
                f" is: {' '.join(str(getattr(error, 'orig', error)).split())}"
            ) from error
        except BaseException:
            database.close()
            raise
        database._file = database._find_file()
        return database

    @property
    def in_memory(self) -> bool:
        """Whether it ends with its process."""
        return self._backend.in_memory

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
        if self._file is not None and self._find_file() != self._file:
            raise StoreError(
                f"the store {self._backend.name} was deleted or replaced; put it back or restart"
            )
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            if self._backend.is_of_record(error):
                raise
            raise StoreError(self._explain(error)) from error

    def _find_file(self) -> tuple[int, int] | None:
        """What tells the file from another of the same name; None where there is none."""
        if self._backend.file is None:
            return None
        try:
            found = os.stat(self._backend.file)
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino

    def _explain(self, error: Exception) -> str:
        cause = str(getattr(error, "orig", None) or error)
        for sign, explanation in self._backend.signs:
            if sign in cause:
                return f"the store {self._backend.name} {explanation}"
        return f"the store {self._backend.name} failed: {' '.join(cause.split())}"


def dump_json(value: Any) -> str:
    """JSON text of ``value``; NaN and infinities, which JSON doesn't know, become null."""
    return write_json(value).decode()
