"""What happened between two instants, for reports: sums by workload and tenant, and the worst."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, and_, case, func, select

from policies.types import Tier
from router.record import rows
from router.record.checks import Checks
from router.record.database import Database
from router.record.model import Interaction
from router.record.overview import Figures, to_figures
from router.record.schema import interactions, ledger
from router.record.sums import aggregates, find_checks

Grouping = Literal["workload", "tenant", "release"]
Group = tuple[str | None, ...]
"""The values of the groupings that were asked for, in their order."""

_WITH_TEXT: Final = interactions.c.input_text != ""


@dataclass(frozen=True, kw_only=True)
class Calls:
    """Calls of a model for a purpose. ``unknown``: those whose cost is; the sum leaves them out."""

    model: str
    purpose: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: Decimal
    unknown: int


@dataclass(frozen=True, kw_only=True)
class Spell:
    """Interactions of a workload with one reason; instants in seconds since the epoch."""

    workload: str
    interactions: int
    first_at: float
    last_at: float


class PeriodBook:
    """Reads what began at ``start`` or later and before ``end`` (seconds since the epoch)."""

    _database: Database

    def figures_between(
        self, start: float, end: float, by: Sequence[Grouping] = ()
    ) -> dict[Group, Figures]:
        """Figures of each group that has interactions; without groupings, of all under ``()``."""
        keys = [interactions.c[name] for name in by]
        query = select(*keys, *aggregates(interactions.c)).where(_within(start, end))
        with self._database.read() as connection:
            found = connection.execute(query.group_by(*keys)).mappings().all()
        return {
            tuple(row[name] for name in by): to_figures(row) for row in found if row["interactions"]
        }

    def checks_between(
        self, start: float, end: float, by: Sequence[Grouping] = ()
    ) -> dict[Group, Checks]:
        """The random checks of each group that has interactions."""
        keys = [interactions.c[name] for name in by]
        on = find_checks(interactions.c)
        weight = case((on.checked, on.stands_for), else_=0.0)
        query = (
            select(
                *keys,
                _count(on.answered).label("answered"),
                _count(on.served).label("served"),
                _count(on.checked).label("checked"),
                func.sum(weight).label("weight"),
                func.sum(weight * weight).label("square_weight"),
                func.sum(case((on.wrong, on.stands_for), else_=0.0)).label("wrong_weight"),
            )
            .where(_within(start, end))
            .group_by(*keys)
        )
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
        return {tuple(row[name] for name in by): Checks.of({**row}) for row in found}

    def calls_between(self, start: float, end: float) -> list[Calls]:
        """Every call of a model, from the ledger: purged interactions count as well."""
        c = ledger.c
        query = (
            select(
                c.model,
                c.purpose,
                func.count().label("calls"),
                func.coalesce(func.sum(c.prompt_tokens), 0).label("prompt_tokens"),
                func.coalesce(func.sum(c.completion_tokens), 0).label("completion_tokens"),
                func.sum(c.cost_usd).label("cost_usd"),
                _count(c.cost_usd.is_(None)).label("unknown"),
            )
            .where(and_(c.at >= start, c.at < end))
            .group_by(c.model, c.purpose)
            .order_by(c.model, c.purpose)
        )
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
        return [
            Calls(
                model=row["model"],
                purpose=row["purpose"],
                calls=row["calls"],
                prompt_tokens=int(row["prompt_tokens"]),  # PostgreSQL sums to a decimal
                completion_tokens=int(row["completion_tokens"]),
                cost_usd=row["cost_usd"] or Decimal(0),
                unknown=row["unknown"],
            )
            for row in found
        ]

    def spells_between(self, start: float, end: float, reason: str) -> list[Spell]:
        """By workload, the interactions with this reason."""
        c = interactions.c
        query = (
            select(
                c.workload,
                func.count().label("interactions"),
                func.min(c.created_at).label("first_at"),
                func.max(c.created_at).label("last_at"),
            )
            .where(_within(start, end), c.reason == reason)
            .group_by(c.workload)
            .order_by(c.workload)
        )
        with self._database.read() as connection:
            return [Spell(**row) for row in connection.execute(query).mappings()]

    def reasons_between(self, start: float, end: float) -> Mapping[tuple[Tier, str], int]:
        """How many interactions each tier answered, by reason; the commonest first."""
        c = interactions.c
        query = (
            select(c.tier, c.reason, func.count().label("n"))
            .where(_within(start, end))
            .group_by(c.tier, c.reason)
            .order_by(func.count().desc(), c.tier, c.reason)
        )
        with self._database.read() as connection:
            return {(Tier(row.tier), row.reason): row.n for row in connection.execute(query)}

    def disagreements_between(self, start: float, end: float, limit: int) -> list[Interaction]:
        """Drafts that a teacher's answer contradicts, with their texts: those that were served
        first, the surest first among them."""
        c = interactions.c
        query = (
            select(interactions)
            .where(_within(start, end), c.draft_agreed.is_(False), c.stored, _WITH_TEXT)
            .order_by(
                case((c.tier == Tier.TEACHER.value, 1), else_=0),
                func.coalesce(c.confidence, 0.0).desc(),
                c.seq,
            )
            .limit(limit)
        )
        with self._database.read() as connection:
            return [rows.to_interaction(row, ()) for row in connection.execute(query).mappings()]


def _within(start: float, end: float) -> ColumnElement[bool]:
    return and_(interactions.c.created_at >= start, interactions.c.created_at < end)


def _count(condition: Any) -> ColumnElement[int]:
    return func.count(case((condition, 1)))
