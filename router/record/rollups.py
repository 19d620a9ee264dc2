"""Figures of many interactions, kept so that they needn't be counted again.

Interactions are numbered without gaps being filled, so a chunk of numbers that lies behind the last
one never grows. Its sums are kept by workload. What is erased marks its chunk as stale, which is
counted anew. ``roll_up`` can be left out at any time: whoever sums counts the rest himself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Select, and_, delete, false, func, insert, select, true, update
from sqlalchemy.engine import Connection

from router.record.database import Database
from router.record.schema import interactions, meta, rollups
from router.record.sums import SUMS, aggregates

CHUNK: Final = 500
"""Numbers of interactions per chunk."""

_STEP: Final = 40
"""Chunks per transaction, so that whoever writes gets its turn."""

_ROLLED_UP: Final = "rolled_up"


class Rollups:
    """Keeps the sums of whole chunks."""

    _database: Database

    def roll_up(self) -> None:
        """Sum up the chunks that are whole or stale. Blocks; the first time takes seconds per
        million interactions."""
        while self._take_step():
            pass

    def _take_step(self) -> bool:
        """Whether there is more to do."""
        if not self._is_due():
            return False
        with self._database.write() as connection:
            stale = select(rollups.c.chunk).where(rollups.c.stale).distinct().limit(_STEP)
            for chunk in connection.scalars(stale).all():
                connection.execute(delete(rollups).where(rollups.c.chunk == chunk))
                _insert(connection, chunk, chunk + 1)
            done, last = rolled_up(connection), _last_chunk(connection)
            upto = min(done + _STEP, last)
            if upto > done:
                _insert(connection, done, upto)
                _remember(connection, upto)
        return True

    def _is_due(self) -> bool:
        stale = select(rollups.c.chunk).where(rollups.c.stale).limit(1)
        with self._database.read() as connection:
            if rolled_up(connection) < _last_chunk(connection):
                return True
            return connection.execute(stale).first() is not None


def rolled_up(connection: Connection) -> int:
    """How many chunks are summed up; the rest begins after number ``rolled_up * CHUNK``."""
    query = select(meta.c.value).where(meta.c.key == _ROLLED_UP)
    found = connection.execute(query).scalar_one_or_none()
    return 0 if found is None else int(found)


def mark_stale(connection: Connection, seqs: Sequence[int]) -> None:
    """Have the chunks of these interactions counted anew: they are deleted in this transaction."""
    chunks = {(seq - 1) // CHUNK for seq in seqs}
    if chunks:
        change = update(rollups).where(rollups.c.chunk.in_(chunks)).values(stale=True)
        connection.execute(change)


def _last_chunk(connection: Connection) -> int:
    """The chunk that may still grow."""
    last = connection.execute(select(func.max(interactions.c.seq))).scalar_one()
    return 0 if last is None else (int(last) - 1) // CHUNK


def sum_by_chunk(first: int, last: int | None) -> Select[Any]:
    """The sums of the chunks from ``first`` to before ``last``, by chunk and workload."""
    table = interactions.c
    chunk = ((table.seq - 1) // CHUNK).label("chunk")
    upper = true() if last is None else table.seq <= last * CHUNK
    return (
        select(chunk, table.workload, *aggregates(table))
        .where(and_(table.seq > first * CHUNK, upper))
        .group_by(chunk, table.workload)
    )


def _insert(connection: Connection, first: int, last: int) -> None:
    columns = [*(column.name for column in SUMS), "stale"]
    source = sum_by_chunk(first, last).add_columns(false())
    connection.execute(insert(rollups).from_select(["chunk", "workload", *columns], source))


def _remember(connection: Connection, done: int) -> None:
    value = {"value": str(done)}
    if connection.execute(update(meta).where(meta.c.key == _ROLLED_UP).values(value)).rowcount == 0:
        connection.execute(insert(meta).values(key=_ROLLED_UP, **value))
