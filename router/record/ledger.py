"""The ledger: money, one row per attempt, entered once and never changed.

An interaction and its rows of the ledger are written in one transaction; ``verify`` shows that
they still say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, case, func, or_, select, update
from sqlalchemy.engine import Connection

from router.record.bulk import insert_rows
from router.record.database import Database
from router.record.model import Interaction
from router.record.rows import from_attempt
from router.record.schema import clean_text, interactions, ledger, meta
from router.record.seal import HEAD, seal_row
from router.record.spent import take_out

COPIED: Final = (
    *("tier", "model", "purpose", "prompt_tokens", "completion_tokens", "cached_tokens"),
    *("reasoning_tokens", "audio_prompt_tokens", "audio_completion_tokens"),
    *("basis", "rates", "cost_usd", "held_usd"),
)
"""What a row has from its attempt under the same name."""


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What some attempts cost. ``held_usd``: what the ``unknown`` ones among them count as."""

    attempts: int
    cost_usd: Decimal
    unknown: int
    held_usd: Decimal


class LedgerBook:
    """Sums over the ledger."""

    _database: Database

    def spending(
        self, *, since: float = 0.0, key_name: str | None = None, workload: str | None = None
    ) -> Spending:
        """Of all attempts that began at ``since`` (seconds since the epoch) or later, or of those
        of a key or a configured workload, whatever the tenant: purged ones count as well."""
        conditions: list[ColumnElement[bool]] = [ledger.c.at >= since]
        if key_name is not None:
            conditions.append(ledger.c.key_name == key_name)
        if workload is not None:
            of_tenants = ledger.c.workload.startswith(f"{workload}@", autoescape=True)
            conditions.append(or_(ledger.c.workload == workload, of_tenants))
        query = select(
            func.count(),
            func.sum(ledger.c.cost_usd),
            func.count(case((ledger.c.basis == "unknown", 1))),
            func.sum(ledger.c.held_usd),
        ).where(*conditions)
        with self._database.read() as connection:
            count, cost, unknown, held = connection.execute(query).one()
        return Spending(
            attempts=count,
            cost_usd=cost or Decimal(0),
            unknown=unknown,
            held_usd=held or Decimal(0),
        )


def enter(connection: Connection, batch: Sequence[Interaction]) -> None:
    """Enter the attempts of new interactions, in the transaction that stores them."""
    head = select(meta.c.value).where(meta.c.key == HEAD)
    seal = str(connection.execute(head).scalar_one())
    rows: list[dict[str, Any]] = []
    for record in batch:
        for attempt in record.attempts:
            row = from_attempt(attempt)
            entry: dict[str, Any] = {name: row[name] for name in COPIED}
            entry |= {"interaction_id": attempt.interaction_id, "n": attempt.n}
            entry |= {"tenant": record.tenant, "key_name": record.key_name}
            entry |= {"workload": record.workload, "at": attempt.started_at, "detached": False}
            # Sealed as it will be read back.
            kept = {k: clean_text(v) if isinstance(v, str) else v for k, v in entry.items()}
            seal = kept["seal"] = seal_row(seal, kept)
            rows.append(kept)
    if rows:
        insert_rows(connection, ledger, rows)
        connection.execute(update(meta).where(meta.c.key == HEAD).values(value=seal))


def detach(connection: Connection, seqs: Any) -> None:
    """Let go of interactions that are about to be deleted; ``seqs``: a query for their numbers."""
    gone = select(interactions.c.id).where(interactions.c.seq.in_(seqs))
    take_out(connection, gone)
    connection.execute(
        update(ledger).where(ledger.c.interaction_id.in_(gone)).values(detached=True)
    )
