"""Finding interactions by words of what was asked.

PostgreSQL keeps an index of words by itself. SQLite has a table of its own for it (FTS5), which is
brought up to date by whoever searches, a part at a time, so that requests pay nothing for it. What
is deleted leaves it, too; where somebody is erased it is begun anew, since words of deleted rows
stay in such a table until it happens to be merged.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import OperationalError

from router.errors import StoreError
from router.record.schema import interactions, meta

MOST_MATCHES: Final = 20_000
"""Interactions with the words that are looked at at once for what else is wanted of them."""

_STEP: Final = 2_000
"""Interactions per transaction, so that whoever writes gets its turn."""

_UPTO: Final = "texts_upto"
_WORD: Final = re.compile(r"[^\W_]+")
_CREATE: Final = text(
    "CREATE VIRTUAL TABLE texts USING fts5(input_text, content='interactions',"
    " content_rowid='seq', detail='none')"
)
_ADD: Final = text(
    "INSERT INTO texts (rowid, input_text) SELECT seq, input_text FROM interactions"
    " WHERE seq > :after AND seq <= :upto AND input_text != ''"
)
_FORGET: Final = (
    "INSERT INTO texts (texts, rowid, input_text) SELECT 'delete', seq, input_text"
    " FROM interactions WHERE seq <= :upto AND input_text != '' AND seq IN ({})"
)
_FORGET_ALL: Final = text("INSERT INTO texts (texts) VALUES ('delete-all')")
_WORDS_OF: Final = "to_tsvector('simple'::regconfig, left(input_text, 20000))"
"""Of a longer text PostgreSQL may have no index; the words of its beginning do."""

_INDEX: Final = text(
    f"CREATE INDEX IF NOT EXISTS ix_interactions_words ON interactions USING gin ({_WORDS_OF})"
)


def prepare_texts(connection: Connection) -> None:
    """Have PostgreSQL keep its index, from the first opening of a store on."""
    if connection.dialect.name == "postgresql":
        connection.execute(_INDEX)


def find_words(words: str) -> list[str]:
    """The words of a search, as both databases tell them apart."""
    return _WORD.findall(unicodedata.normalize("NFC", words))


def match_words(
    connection: Connection, words: Sequence[str], before_seq: int | None
) -> Select[Any]:
    """The numbers of the newest ``MOST_MATCHES`` interactions with all the words, of those before a
    number where one is given."""
    if connection.dialect.name == "sqlite":
        matching = literal_column("texts").op("MATCH")(" ".join(f'"{word}"' for word in words))
        rowid: ColumnElement[Any] = literal_column("rowid", Integer)
        query = select(rowid).select_from(text("texts")).where(matching)
    else:
        rowid = interactions.c.seq
        asked = func.plainto_tsquery(literal_column("'simple'::regconfig"), " ".join(words))
        query = select(rowid).where(literal_column(_WORDS_OF).op("@@")(asked))
    if before_seq is not None:
        query = query.where(rowid < before_seq)
    return query.order_by(rowid.desc()).limit(MOST_MATCHES)


def forget_texts(connection: Connection, seqs: Sequence[int]) -> None:
    """Interactions are about to be deleted in this transaction."""
    upto = indexed_upto(connection)
    if upto and seqs:
        numbers = ", ".join(str(int(seq)) for seq in seqs)
        connection.execute(text(_FORGET.format(numbers)), {"upto": upto})


def forget_all_texts(connection: Connection) -> None:
    """Begin anew: whoever searches next takes in what is there then."""
    if indexed_upto(connection) is not None:
        connection.execute(_FORGET_ALL)
        _remember(connection, 0)


def take_step(connection: Connection, last: int) -> None:
    """Take in some more texts, up to interaction ``last``. Raises StoreError where SQLite can't."""
    upto = indexed_upto(connection)
    if upto is None:
        try:
            connection.execute(_CREATE)
        except OperationalError as error:
            raise StoreError(
                "this Python's SQLite has no FTS5, so texts can't be searched"
            ) from error
        upto = 0
        connection.execute(insert(meta).values(key=_UPTO, value="0"))
    reached = min(upto + _STEP, last)
    connection.execute(_ADD, {"after": upto, "upto": reached})
    _remember(connection, reached)


def indexed_upto(connection: Connection) -> int | None:
    """The last interaction that was taken in; None where there is no table for it."""
    query = select(meta.c.value).where(meta.c.key == _UPTO)
    found: Any = connection.execute(query).scalar_one_or_none()
    return None if found is None else int(found)


def _remember(connection: Connection, upto: int) -> None:
    connection.execute(update(meta).where(meta.c.key == _UPTO).values(value=str(upto)))
