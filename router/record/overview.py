"""Figures for people: sums over all interactions and over consecutive slices of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from policies.types import Tier
from router.meter.money import usd
from router.record.checks import Checks
from router.record.database import Database
from router.record.rollups import CHUNK, rolled_up, sum_by_chunk
from router.record.schema import interactions, rollups
from router.record.sums import MONEY, Row, add_rollups, add_sums, aggregates


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What some interactions cost, who answered them, and how well.

    ``priced`` and ``teacher_priced``: how many have a known cost, a known or estimated cost of
    the teacher; the sums run over those. ``compared_*``: sums where both are known.
    ``measured``: random checks behind ``agreement``, the estimated share of delivered answers
    that agree with the teacher's: the teacher's own do, and the others are wrong as often as
    the drafts whose teacher answer was asked for at random. With propensity π an audit stands for
    1/π served drafts, itself included, and a proof, which was not served, for (1 − π)/π. None
    where others answered and nothing was checked. ``checks``: what it rests on.
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
    checks: Checks | None = None

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
        with self._database.read() as connection:
            done = rolled_up(connection)
            known, rest = add_rollups(), _of_all(interactions.c.seq > done * CHUNK)
            if workload is not None:
                known = known.where(rollups.c.workload == workload)
                rest = rest.where(interactions.c.workload == workload)
            found = [connection.execute(query).mappings().one() for query in (known, rest)]
        return to_figures(add_sums(found))

    def figures_by_workload(self) -> dict[str, Figures]:
        """Figures of each workload that has interactions."""
        with self._database.read() as connection:
            done = rolled_up(connection)
            known = add_rollups(rollups.c.workload).group_by(rollups.c.workload)
            table = interactions.c
            rest = select(table.workload, *aggregates(table)).where(table.seq > done * CHUNK)
            found: dict[str, list[Row]] = {}
            for query in (known, rest.group_by(table.workload)):
                for row in connection.execute(query).mappings():
                    found.setdefault(row["workload"], []).append(row)
        return {workload: to_figures(add_sums(rows)) for workload, rows in found.items()}

    def newest_figures(self, count: int, workload: str | None = None) -> Figures:
        """Figures of the newest ``count`` interactions."""
        columns = [interactions.c[name] for name in _READ]
        query = select(*columns).order_by(interactions.c.seq.desc()).limit(count)
        if workload is not None:
            query = query.where(interactions.c.workload == workload)
        with self._database.read() as connection:
            found = connection.execute(select(*aggregates(query.subquery().c))).mappings().one()
            return to_figures(found)

    def series(self, workload: str | None = None, buckets: int = 60) -> list[Figures]:
        """Figures over time: at most ``buckets`` slices of about equally many interactions.

        Exactly equal while there are few; of many, a slice ends where a rollup does.
        """
        count = self.totals(workload).interactions
        if count <= CHUNK * buckets:
            return self._equal_slices(workload, buckets)
        with self._database.read() as connection:
            done = rolled_up(connection)
            known = add_rollups(rollups.c.chunk).group_by(rollups.c.chunk)
            rest = sum_by_chunk(done, None)
            if workload is not None:
                known = known.where(rollups.c.workload == workload)
                rest = rest.where(interactions.c.workload == workload)
            found = [
                *connection.execute(known.order_by(rollups.c.chunk)).mappings(),
                *sorted(connection.execute(rest).mappings(), key=lambda row: int(row["chunk"])),
            ]
        return [to_figures(add_sums(part)) for part in _cut(found, buckets)]

    def _equal_slices(self, workload: str | None, buckets: int) -> list[Figures]:
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


def to_figures(row: Row) -> Figures:
    values: dict[str, Any] = {name: row[name] for name in _PLAIN}
    values.update({name: row[name] or Decimal(0) for name in MONEY})
    return Figures(
        **values,
        by_tier={tier: row[f"by_{tier.value}"] for tier in Tier},
        agreement=_agreement(row),
        checks=Checks.of({**row, "checked": row["measured"]}),
    )


def _agreement(row: Row) -> float | None:
    if not row["answered"]:
        return None
    if not row["served"]:
        return 1.0
    if not row["weight"]:
        return None
    return float(1.0 - row["served"] / row["answered"] * row["wrong_weight"] / row["weight"])


def _of_all(condition: ColumnElement[bool]) -> Select[Any]:
    return select(*aggregates(interactions.c)).where(condition)


def _cut(rows: Sequence[Row], parts: int) -> list[list[Row]]:
    """Consecutive runs of about equally many interactions, at most ``parts``."""
    total = sum(row["interactions"] for row in rows)
    runs: list[list[Row]] = []
    before, last = 0, -1
    for row in rows:
        part = before * parts // total
        if part != last:
            runs.append([])
        runs[-1].append(row)
        before, last = before + row["interactions"], part
    return runs
