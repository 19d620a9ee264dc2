"""Figures for people: sums over all interactions and over consecutive slices of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, case, func, or_, select
from sqlalchemy.sql import ColumnCollection

from policies.promise.policy import PROOF
from policies.types import Tier
from router.meter.money import usd
from router.record.database import Database
from router.record.schema import interactions


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What some interactions cost, who answered them, and how well.

    ``priced`` and ``teacher_priced``: how many have a known cost, a known or estimated cost of
    the teacher; the sums run over those. ``compared_*``: sums where both are known.
    ``measured``: random checks behind ``agreement``, the estimated share of delivered answers
    that agree with the teacher's: the teacher's own do, and the others are wrong as often as
    the drafts whose teacher answer was asked for at random. With propensity π an audit stands for
    1/π served drafts, itself included, and a proof, which was not served, for (1 − π)/π. None
    where others answered and nothing was checked.
    """

    interactions: int
    by_tier: Mapping[Tier, int]
    errors: int
    cost_usd: Decimal
    priced: int
    teacher_cost_usd: Decimal
    teacher_priced: int
    teacher_estimated: int
    compared_cost_usd: Decimal
    compared_teacher_cost_usd: Decimal
    agreement: float | None
    measured: int
    first_at: float | None
    last_at: float | None

    def share(self, tier: Tier) -> float | None:
        """Share of the interactions that ``tier`` answered."""
        return self.by_tier[tier] / self.interactions if self.interactions else None

    @property
    def cost_per_interaction(self) -> Decimal | None:
        """Mean USD where the cost is known."""
        return usd(self.cost_usd / self.priced) if self.priced else None

    @property
    def teacher_cost_per_interaction(self) -> Decimal | None:
        """Mean USD that always asking the teacher would have cost, where that is known."""
        return usd(self.teacher_cost_usd / self.teacher_priced) if self.teacher_priced else None

    @property
    def saving(self) -> float | None:
        """1 − cost ÷ teacher's cost, over the interactions where both are known."""
        if not self.compared_teacher_cost_usd:
            return None
        return float(1 - self.compared_cost_usd / self.compared_teacher_cost_usd)


class Overview:
    """Aggregates over the interactions of the store."""

    _database: Database

    def totals(self, workload: str | None = None) -> Figures:
        """Figures of all interactions, or of a workload's."""
        query = select(*aggregates(interactions.c))
        if workload is not None:
            query = query.where(interactions.c.workload == workload)
        with self._database.read() as connection:
            return to_figures(connection.execute(query).mappings().one())

    def series(self, workload: str | None = None, buckets: int = 60) -> list[Figures]:
        """Figures over time: at most ``buckets`` slices of equally many interactions."""
        columns = [interactions.c[name] for name in _READ]
        slices = select(*columns, func.ntile(buckets).over(order_by=interactions.c.seq).label("n"))
        if workload is not None:
            slices = slices.where(interactions.c.workload == workload)
        table = slices.subquery()
        query = select(*aggregates(table.c)).group_by(table.c.n).order_by(table.c.n)
        with self._database.read() as connection:
            return [to_figures(row) for row in connection.execute(query).mappings()]


_READ = (
    "created_at",
    "tier",
    "status",
    "reason",
    "seen",
    "agreed",
    "draft_agreed",
    "propensity",
    "cost_usd",
    "teacher_cost_usd",
    "teacher_cost_estimated",
)


_MONEY = ("cost_usd", "teacher_cost_usd", "compared_cost_usd", "compared_teacher_cost_usd")
_PLAIN = (
    "interactions",
    "errors",
    "priced",
    "teacher_priced",
    "teacher_estimated",
    "measured",
    "first_at",
    "last_at",
)


@dataclass(frozen=True, kw_only=True)
class CheckColumns:
    """Conditions on an interaction. ``answered``: delivered whole; ``served``: by others than the
    teacher; ``checked``: at random; ``wrong``: and found to disagree. ``stands_for``: how many
    served drafts a checked one stands for."""

    answered: ColumnElement[bool]
    served: ColumnElement[bool]
    checked: ColumnElement[bool]
    wrong: ColumnElement[bool]
    stands_for: ColumnElement[float]


def find_checks(c: ColumnCollection[str, Any]) -> CheckColumns:
    """The conditions over the columns of a table or subquery."""
    answered = c.status == "ok"
    by_teacher = c.tier == Tier.TEACHER.value
    served = and_(answered, ~by_teacher)
    audited = and_(served, c.seen, c.agreed.is_not(None))
    proven = and_(answered, by_teacher, c.reason == PROOF, c.seen, c.draft_agreed.is_not(None))
    return CheckColumns(
        answered=answered,
        served=served,
        checked=or_(audited, proven),
        wrong=or_(and_(audited, ~c.agreed), and_(proven, ~c.draft_agreed)),
        stands_for=case((audited, 1.0 / c.propensity), else_=(1.0 - c.propensity) / c.propensity),
    )


def aggregates(c: ColumnCollection[str, Any]) -> list[ColumnElement[Any]]:
    """The sums behind ``Figures``, over the columns of a table or subquery."""
    on = find_checks(c)
    both = and_(c.cost_usd.is_not(None), c.teacher_cost_usd.is_not(None))
    sums: list[ColumnElement[Any]] = [
        func.count().label("interactions"),
        *(_count(c.tier == tier.value).label(f"by_{tier.value}") for tier in Tier),
        _count(c.status == "error").label("errors"),
        func.sum(c.cost_usd).label("cost_usd"),
        func.count(c.cost_usd).label("priced"),
        func.sum(c.teacher_cost_usd).label("teacher_cost_usd"),
        func.count(c.teacher_cost_usd).label("teacher_priced"),
        _count(c.teacher_cost_estimated).label("teacher_estimated"),
        func.sum(case((both, c.cost_usd))).label("compared_cost_usd"),
        func.sum(case((both, c.teacher_cost_usd))).label("compared_teacher_cost_usd"),
        _count(on.answered).label("answered"),
        _count(on.served).label("served"),
        _count(on.checked).label("measured"),
        func.sum(case((on.checked, on.stands_for), else_=0.0)).label("weight"),
        func.sum(case((on.wrong, on.stands_for), else_=0.0)).label("wrong_weight"),
        func.min(c.created_at).label("first_at"),
        func.max(c.created_at).label("last_at"),
    ]
    return sums


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def to_figures(row: RowMapping) -> Figures:
    """A row of ``aggregates``."""
    values: dict[str, Any] = {name: row[name] for name in _PLAIN}
    values.update({name: row[name] or Decimal(0) for name in _MONEY})
    return Figures(
        **values,
        by_tier={tier: row[f"by_{tier.value}"] for tier in Tier},
        agreement=_agreement(row),
    )


def _agreement(row: RowMapping) -> float | None:
    if not row["answered"]:
        return None
    if not row["served"]:
        return 1.0
    if not row["weight"]:
        return None
    return float(1.0 - row["served"] / row["answered"] * row["wrong_weight"] / row["weight"])
