"""Finding interactions by what was decided about them and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, func, or_, select

from policies.types import Tier
from router.record.database import Database
from router.record.schema import interactions, ledger
from router.record.texts import MOST_MATCHES, indexed_upto, match_words, take_step

Disagreed = Literal["answer", "draft", "either"]

_EXCERPT_CHARS: Final = 200
_PAGE: Final = 500
_PLAIN: Final = (
    *("seq", "id", "created_at", "workload", "key_name", "tier", "reason", "status", "confidence"),
    *("threshold", "cost_usd", "teacher_cost_usd", "latency_ms", "agreed", "draft_agreed"),
)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an interaction must have to be found; None: anything.

    ``disagreed``: the delivered answer, the draft or one of both is known to differ from the
    teacher's. ``least_usd``, ``most_usd``: limits of a known cost, both included. ``words``: all
    of them in what was asked, as ``find_words`` tells them apart.
    """

    workload: str | None = None
    tier: Tier | None = None
    reason: str | None = None
    status: str | None = None
    disagreed: Disagreed | None = None
    least_usd: Decimal | None = None
    most_usd: Decimal | None = None
    words: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Found:
    """An interaction in one line; ``text``: the beginning of what was asked."""

    seq: int
    id: str
    created_at: float
    workload: str
    key_name: str
    tier: str
    reason: str
    status: str
    confidence: float | None
    threshold: float | None
    cost_usd: Decimal | None
    teacher_cost_usd: Decimal | None
    latency_ms: float
    agreed: bool | None
    draft_agreed: bool | None
    text: str


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What a key's attempts cost in a workload; ``unknown``: attempts whose cost isn't known."""

    key_name: str
    tenant: str
    workload: str
    attempts: int
    cost_usd: Decimal
    unknown: int


class Search:
    """Reads for people who look for something."""

    _database: Database
    _clock: Callable[[], float]

    def find_interactions(
        self, wanted: Wanted, limit: int, before_seq: int | None = None
    ) -> list[Found]:
        """The newest that fit, newest first; ``before_seq``: to go on from the last one found.

        With words among the newest ``MOST_MATCHES`` that have them; ``find_next`` tells where to go
        on. Raises StoreError where no texts were ever indexed.
        """
        table = interactions.c
        query = select(table.seq).where(*_conditions(wanted))
        if before_seq is not None:
            query = query.where(table.seq < before_seq)
        excerpt = func.substr(table.input_text, 1, _EXCERPT_CHARS).label("text")
        with self._database.read() as connection:
            if wanted.words:
                matching = match_words(connection, wanted.words, before_seq).subquery()
                query = query.where(table.seq.in_(select(matching.c[0])))
            # Numbers first, from the index alone: then the pages of those that are shown.
            seqs = connection.scalars(query.order_by(table.seq.desc()).limit(limit)).all()
            lines = select(*(table[name] for name in _PLAIN), excerpt)
            lines = lines.where(table.seq.in_(seqs)).order_by(table.seq.desc())
            return [Found(**row) for row in connection.execute(lines).mappings()]

    def index_texts(self, at_most_s: float) -> int:
        """Take in words of texts that were stored since, for about so many seconds; returns how
        many interactions are left. Raises StoreError where the database can't search texts."""
        end_s = time.monotonic() + at_most_s
        newest = select(func.max(interactions.c.seq))
        while True:
            with self._database.read() as connection:
                if connection.dialect.name != "sqlite":
                    return 0
                upto = indexed_upto(connection)
                last = int(connection.execute(newest).scalar_one() or 0)
            if upto is not None and (upto >= last or time.monotonic() >= end_s):
                return last - upto
            with self._database.write() as connection:
                take_step(connection, last)

    def find_next(
        self, wanted: Wanted, found: Sequence[Found], limit: int, before_seq: int | None = None
    ) -> int | None:
        """The number before which what ``find_interactions`` found goes on; None at the end."""
        if len(found) == limit:
            return found[-1].seq
        if not wanted.words:
            return None
        with self._database.read() as connection:
            matching = match_words(connection, wanted.words, before_seq).subquery()
            query = select(func.min(matching.c[0]), func.count()).select_from(matching)
            oldest, count = connection.execute(query).one()
        return int(oldest) if count == MOST_MATCHES else None

    def find_texts(self, ids: Sequence[str]) -> dict[str, str]:
        """The beginning of what was asked, by the interaction's id; erased ones are missing."""
        table = interactions.c
        excerpt = func.substr(table.input_text, 1, _EXCERPT_CHARS)
        found: dict[str, str] = {}
        with self._database.read() as connection:
            for start in range(0, len(ids), _PAGE):
                chunk = list(ids[start : start + _PAGE])
                lines = select(table.id, excerpt).where(table.id.in_(chunk))
                found.update((name, text) for name, text in connection.execute(lines))
        return found

    def spent_since(self, since: float) -> list[Spent]:
        """By key and workload, the dearest first; purged interactions count as well."""
        c = ledger.c
        by = (c.key_name, c.tenant, c.workload)
        unknown = func.count().filter(c.basis.in_(("unknown", "unpriced")))
        query = select(*by, func.count(), func.sum(c.cost_usd), unknown).where(c.at >= since)
        with self._database.read() as connection:
            found = connection.execute(query.group_by(*by)).all()
        spent = [
            Spent(
                key_name=key,
                tenant=tenant,
                workload=workload,
                attempts=attempts,
                cost_usd=cost or Decimal(0),
                unknown=unpriced,
            )
            for key, tenant, workload, attempts, cost, unpriced in found
        ]
        return sorted(spent, key=lambda one: one.cost_usd, reverse=True)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    c = interactions.c
    plain: dict[str, Any] = {
        "tier": None if wanted.tier is None else wanted.tier.value,
        "reason": wanted.reason,
        "status": wanted.status,
    }
    found = [c[name] == value for name, value in plain.items() if value is not None]
    if wanted.workload is not None:
        # As an expression: else a database goes by the workload's own index, and to a page of the
        # table for each of its interactions.
        found.append(c.workload.concat("") == wanted.workload)
    wrong = {
        "answer": c.agreed.is_(False),
        "draft": c.draft_agreed.is_(False),
        "either": or_(c.agreed.is_(False), c.draft_agreed.is_(False)),
    }
    if wanted.disagreed is not None:
        found.append(wrong[wanted.disagreed])
    if wanted.least_usd is not None:
        found.append(c.cost_usd >= wanted.least_usd)
    if wanted.most_usd is not None:
        found.append(c.cost_usd <= wanted.most_usd)
    return found
