"""Many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

from sqlalchemy import Table, insert
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.exc import StatementError

_MOST_VARIABLES: Final = 30_000
"""In one statement: SQLite takes 32,766."""

_Value = TypeVar("_Value")


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns. Raises what ``Connection.execute`` raises.

    On SQLite many in one statement. Its driver gives up the interpreter at every row of an
    ``executemany``, and a thread that writes beside a busy event loop waits each time until it
    gets it back: it then writes a few hundred rows a second, however little each one takes.
    """
    if not rows:
        return
    if connection.dialect.name != "sqlite":
        connection.execute(insert(table), rows)
        return
    names = tuple(rows[0])
    processors = _find_processors(table, names, connection.dialect)
    start = 0
    for size in _split(len(rows), _MOST_VARIABLES // len(names)):
        part = rows[start : start + size]
        start += size
        statement = _write_statement(table.name, names, len(part), connection.dialect)
        connection.exec_driver_sql(statement, _bind(statement, part, names, processors))


def round_up(values: Sequence[_Value]) -> list[_Value]:
    """The values, the last one repeated up to a power of two: for a list in a statement, of which
    the driver keeps one for each length that it has seen, up to a hundred."""
    if not values:
        return []
    missing = (1 << (len(values) - 1).bit_length()) - len(values)
    return [*values, *[values[-1]] * missing]


def _split(count: int, most: int) -> Iterator[int]:
    """Powers of two that add up to the count, so that there are few statements to remember."""
    while count:
        size = 1 << (min(count, most).bit_length() - 1)
        yield size
        count -= size


@lru_cache(maxsize=64)
def _find_processors(
    table: Table, names: tuple[str, ...], dialect: Dialect
) -> list[Callable[[Any], Any] | None]:
    """What turns each column's values into the driver's; None where they are that already."""
    return [table.c[n].type.dialect_impl(dialect).bind_processor(dialect) for n in names]


@lru_cache(maxsize=64)
def _write_statement(table: str, names: tuple[str, ...], rows: int, dialect: Dialect) -> str:
    quote = dialect.identifier_preparer.quote
    row = f"({', '.join('?' * len(names))})"
    columns = ", ".join(map(quote, names))
    return f"INSERT INTO {quote(table)} ({columns}) VALUES {', '.join([row] * rows)}"


def _bind(
    statement: str,
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    processors: Sequence[Callable[[Any], Any] | None],
) -> tuple[Any, ...]:
    try:
        columns = [
            [row[name] for row in rows] if process is None else [process(row[name]) for row in rows]
            for name, process in zip(names, processors, strict=True)
        ]
    except Exception as error:
        raise StatementError(str(error), statement, None, error) from error
    return tuple(chain.from_iterable(zip(*columns, strict=True)))
