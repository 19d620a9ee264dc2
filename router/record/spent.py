"""What attempts cost, by what they were for, summed so that the ledger needn't be read again.

Only of interactions that are still stored, as all other figures of the dashboard: what is deleted
is taken out of the sums when it leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.engine import Connection

from router.record.database import Database
from router.record.schema import ledger, meta, spent

_STEP: Final = 20_000
"""Rows of the ledger per transaction, so that whoever writes gets its turn."""

_UPTO: Final = "spent_upto"


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """Attempts for one purpose. ``unknown``: those whose cost is; the sum leaves them out."""

    calls: int
    cost_usd: Decimal
    unknown: int


class SpentBook:
    """Sums over the ledger by purpose, of the interactions that are stored."""

    _database: Database

    def sum_up_ledger(self) -> None:
        """Take in what was entered since. Blocks; can be left out at any time."""
        while True:
            with self._database.read() as connection:
                upto, last = _summed_upto(connection), _last(connection)
            if last - upto < _STEP:
                return
            with self._database.write() as connection:
                upto = _summed_upto(connection)
                for row in connection.execute(_sum(upto, upto + _STEP)).mappings().all():
                    _add(connection, dict(row))
                _remember(connection, upto + _STEP)

    def costs_by_purpose(self, workload: str | None = None) -> dict[str, Purpose]:
        """Of all attempts, or of a workload's."""
        with self._database.read() as connection:
            known = select(spent)
            rest = _sum(_summed_upto(connection), None)
            if workload is not None:
                known = known.where(spent.c.workload == workload)
                rest = rest.where(ledger.c.workload == workload)
            rows = [row for query in (known, rest) for row in connection.execute(query).mappings()]
        found: dict[str, Purpose] = {}
        for row in rows:
            before = found.get(row["purpose"])
            found[row["purpose"]] = Purpose(
                calls=int(row["calls"]) + (before.calls if before else 0),
                cost_usd=(row["cost_usd"] or Decimal(0)) + (before.cost_usd if before else 0),
                unknown=int(row["unknown"]) + (before.unknown if before else 0),
            )
        return found


def take_out(connection: Connection, gone: Select[Any]) -> None:
    """Interactions are about to be deleted; ``gone``: a query for their ids."""
    leaving = _sum(0, _summed_upto(connection)).where(ledger.c.interaction_id.in_(gone))
    for row in connection.execute(leaving).mappings().all():
        cost = None if row["cost_usd"] is None else -row["cost_usd"]
        counts = {name: -row[name] for name in ("calls", "unknown")}
        _add(connection, {**row, **counts, "cost_usd": cost})


def _sum(after: int, upto: int | None) -> Select[Any]:
    c = ledger.c
    query = select(
        c.workload,
        c.purpose,
        func.count().label("calls"),
        func.sum(c.cost_usd).label("cost_usd"),
        func.count().filter(c.cost_usd.is_(None)).label("unknown"),
    ).where(c.seq > after, ~c.detached)
    if upto is not None:
        query = query.where(c.seq <= upto)
    return query.group_by(c.workload, c.purpose)


def _add(connection: Connection, row: dict[str, Any]) -> None:
    c = spent.c
    key = (c.workload == row["workload"]) & (c.purpose == row["purpose"])
    known = connection.execute(select(spent).where(key)).mappings().one_or_none()
    if known is None:
        connection.execute(insert(spent).values(row))
        return
    costs = [one["cost_usd"] for one in (known, row) if one["cost_usd"] is not None]
    values = {
        "calls": known["calls"] + row["calls"],
        "cost_usd": sum(costs, Decimal(0)) if costs else None,
        "unknown": known["unknown"] + row["unknown"],
    }
    connection.execute(update(spent).where(key).values(values))


def _summed_upto(connection: Connection) -> int:
    query = select(meta.c.value).where(meta.c.key == _UPTO)
    found = connection.execute(query).scalar_one_or_none()
    return 0 if found is None else int(found)


def _last(connection: Connection) -> int:
    return int(connection.execute(select(func.max(ledger.c.seq))).scalar_one() or 0)


def _remember(connection: Connection, upto: int) -> None:
    value = {"value": str(upto)}
    if connection.execute(update(meta).where(meta.c.key == _UPTO).values(value)).rowcount == 0:
        connection.execute(insert(meta).values(key=_UPTO, **value))
