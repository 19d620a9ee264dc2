"""Finding interactions by what was decided about them and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, func, or_, select

from policies.types import Tier
from router.record.database import Database
from router.record.schema import interactions, ledger

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
    teacher's. ``least_usd``, ``most_usd``: limits of a known cost, both included.
    """

    workload: str | None = None
    tier: Tier | None = None
    reason: str | None = None
    status: str | None = None
    disagreed: Disagreed | None = None
    least_usd: Decimal | None = None
    most_usd: Decimal | None = None


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
        """The newest that fit, newest first; ``before_seq``: to go on from the last one found."""
        table = interactions.c
        query = select(table.seq).where(*_conditions(wanted))
        if before_seq is not None:
            query = query.where(table.seq < before_seq)
        excerpt = func.substr(table.input_text, 1, _EXCERPT_CHARS).label("text")
        with self._database.read() as connection:
            # Numbers first, from the index alone: then the pages of those that are shown.
            seqs = connection.scalars(query.order_by(table.seq.desc()).limit(limit)).all()
            lines = select(*(table[name] for name in _PLAIN), excerpt)
            lines = lines.where(table.seq.in_(seqs)).order_by(table.seq.desc())
            return [Found(**row) for row in connection.execute(lines).mappings()]

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
