"""The sums behind the figures, and how those of several sets of interactions become one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, RowMapping, Select, and_, case, func, or_, select
from sqlalchemy.sql import ColumnCollection

from policies.promise.accuracy import VERDICT
from policies.promise.policy import PROOF
from policies.types import Tier
from router.record.schema import rollups

MONEY: Final = ("cost_usd", "teacher_cost_usd", "compared_cost_usd", "compared_teacher_cost_usd")
_KEYS: Final = ("chunk", "workload", "stale")
SUMS: Final = tuple(column for column in rollups.c if column.name not in _KEYS)
"""The columns of a rollup that hold sums, under the names of ``aggregates``."""

_FIRST: Final = "first_at"
_LAST: Final = "last_at"

Row = Mapping[str, Any] | RowMapping


def add_sums(rows: Iterable[Row]) -> dict[str, Any]:
    """One row of ``aggregates`` from several, each of other interactions."""
    columns: dict[str, list[Any]] = {column.name: [] for column in SUMS}
    for row in rows:
        for name, values in columns.items():
            if row[name] is not None:
                values.append(row[name])
    return {name: _add(name, values) for name, values in columns.items()}


def _add(name: str, values: Sequence[Any]) -> Any:
    if name == _FIRST:
        return min(values, default=None)
    if name == _LAST:
        return max(values, default=None)
    return sum(values, Decimal(0) if name in MONEY else 0)


def add_rollups(*by: ColumnElement[Any]) -> Select[Any]:
    """The same of all rollups, added up by the database, by some of their columns."""
    return select(*by, *(_add_column(column).label(column.name) for column in SUMS))


def _add_column(column: Column[Any]) -> ColumnElement[Any]:
    if column.name == _FIRST:
        return func.min(column)
    return func.max(column) if column.name == _LAST else func.sum(column)


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
    proven = and_(answered, by_teacher, _is_proof(c), c.seen, c.draft_agreed.is_not(None))
    return CheckColumns(
        answered=answered,
        served=served,
        checked=or_(audited, proven),
        wrong=or_(and_(audited, ~c.agreed), and_(proven, ~c.draft_agreed)),
        stands_for=case((audited, 1.0 / c.propensity), else_=(1.0 - c.propensity) / c.propensity),
    )


def _is_proof(c: ColumnCollection[str, Any]) -> ColumnElement[bool]:
    """As ``policies.promise.accuracy.checks_draft``."""
    return or_(c.reason == PROOF, and_(c.reason == VERDICT, c.propensity < 1.0))


def aggregates(c: ColumnCollection[str, Any]) -> list[ColumnElement[Any]]:
    """Over the columns of a table or subquery, in the order of ``SUMS``."""
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
        func.sum(case((on.checked, on.stands_for * on.stands_for), else_=0.0)).label(
            "square_weight"
        ),
        func.sum(case((on.wrong, on.stands_for), else_=0.0)).label("wrong_weight"),
        func.min(c.created_at).label("first_at"),
        func.max(c.created_at).label("last_at"),
    ]
    return sums


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))
