"""What leaves the store for good: by age, by key, by user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, case, delete, or_, select, update
from sqlalchemy.engine import Connection

from router.record.database import Database
from router.record.ledger import detach
from router.record.redact import is_redacted
from router.record.rollups import mark_stale
from router.record.schema import cycles, interactions
from router.record.subject import USER_FIELDS, pseudonym_of
from router.record.texts import forget_all_texts, forget_texts

_PAGE: Final = 500


class Eraser:
    """Deletes interactions with their attempts and feedback. What they cost stays in the ledger.

    In small transactions, so that the gateway's writer gets its turns. What a cycle had seen is
    counted down with them: else it would wait for answers that are gone.
    """

    _database: Database

    def purge_before(self, epoch_s: float) -> int:
        """Delete interactions older than ``epoch_s``; returns how many."""
        return len(self._erase(interactions.c.created_at < epoch_s))

    def erase_key(self, key_name: str) -> list[str]:
        """Delete all that came by a key; returns the interactions' ids."""
        self._forget_words()
        return self._erase(interactions.c.key_name == key_name)

    def erase_user(self, user: str, tenant: str | None = None) -> list[str]:
        """Delete all that names this user, as the application calls them; returns the ids.

        ``tenant``: only there; None: with every tenant.
        """
        self._forget_words()
        with self._database.read() as connection:
            query = select(interactions.c.tenant).distinct()
            tenants = list(connection.scalars(query)) if tenant is None else [tenant]
        erased = []
        for one in tenants:
            names = [pseudonym_of(one, user)]
            if not is_redacted(user):  # as it came, in records of before users had pseudonyms
                names.append(user)
            fields = (interactions.c.request[path].as_string() for path in USER_FIELDS)
            named = or_(*(field.in_(names) for field in fields))
            erased += self._erase((interactions.c.tenant == one) & named)
        return erased

    def _forget_words(self) -> None:
        with self._database.write() as connection:
            forget_all_texts(connection)

    def _erase(self, chosen: ColumnElement[bool]) -> list[str]:
        columns = (interactions.c.seq, interactions.c.id, interactions.c.workload)
        query = select(*columns, interactions.c.trainable).where(chosen).limit(_PAGE)
        erased: list[str] = []
        while True:
            with self._database.write() as connection:
                found = connection.execute(query).all()
                seqs = [row.seq for row in found]
                forget_texts(connection, seqs)
                detach(connection, select(interactions.c.seq).where(interactions.c.seq.in_(seqs)))
                connection.execute(delete(interactions).where(interactions.c.seq.in_(seqs)))
                mark_stale(connection, seqs)
                _uncount(connection, [row.workload for row in found if row.trainable])
            erased += [row.id for row in found]
            if len(found) < _PAGE:
                return erased


def _uncount(connection: Connection, workloads: Sequence[str]) -> None:
    """Answers that are gone were seen by no cycle."""
    seen = cycles.c.answers_seen
    for workload, gone in Counter(workloads).items():
        left = case((seen > gone, seen - gone), else_=0)
        change = update(cycles).where(cycles.c.workload == workload).values(answers_seen=left)
        connection.execute(change)
