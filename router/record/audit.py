"""Do interactions and ledger agree? Every row that doesn't is found and named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal

from sqlalchemy import Table, exists, select
from sqlalchemy.engine import RowMapping

from router.meter.money import plain_usd, show_usd
from router.meter.prices import Rates, cost_of
from router.record.database import Database
from router.record.ledger import COPIED
from router.record.rows import to_usage
from router.record.schema import attempts, interactions, ledger, meta
from router.record.seal import FIRST_SEAL, HEAD, seal_row

_PAGE: Final = 500

Damage = Literal[
    "missing_entry",  # an attempt that the ledger doesn't have
    "missing_attempt",  # an entry whose interaction has no such attempt
    "missing_interaction",  # an entry whose interaction is gone and was never purged
    "differs",  # entry and attempt, or entry and interaction, say different things
    "wrong_cost",  # the cost isn't what usage and rates make
    "wrong_sum",  # the interaction's cost isn't the sum of its entries
    "nothing_billed",  # the teacher answered and no attempt of it is there
    "broken_seal",  # the entry was changed, or one before it was taken out or put in
    "lost_end",  # the last entries were taken out
]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row that doesn't agree. ``n``: of the attempt, None where all of them are meant."""

    damage: Damage
    interaction_id: str
    n: int | None
    what: str


@dataclass(kw_only=True)
class Verdict:
    """What was looked at, and what was found. ``unknown``: entries whose cost isn't known."""

    interactions: int = 0
    entries: int = 0
    cost_usd: Decimal = Decimal(0)
    unknown: int = 0
    held_usd: Decimal = Decimal(0)
    findings: list[Finding] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        """As ``tutelage ledger verify --json`` prints it."""
        return {
            "agrees": self.agrees,
            "interactions": self.interactions,
            "entries": self.entries,
            "cost_usd": plain_usd(self.cost_usd),
            "unknown": self.unknown,
            "held_usd": plain_usd(self.held_usd),
            "findings": [asdict(finding) for finding in self.findings],
        }


def verify_ledger(database: Database) -> Verdict:
    """Compare every interaction with the ledger, and every entry with its seal.

    Reads page by page, beside a gateway that may be writing. Raises StoreError.
    """
    verdict = Verdict()
    _follow_seals(database, verdict)
    for page in _pages(database, interactions, "id", "tier", "status", *_SHARED, "cost_usd"):
        verdict.interactions += len(page)
        _compare_page(database, page, verdict)
    verdict.findings.extend(_find_orphans(database))
    return verdict


_SHARED: Final = ("tenant", "key_name", "workload")
"""What an entry has from its interaction under the same name."""


def _follow_seals(database: Database, verdict: Verdict) -> None:
    """Every entry by itself, in order."""
    # Read first: entries that are written meanwhile come after it.
    with database.read() as connection:
        head = connection.execute(select(meta.c.value).where(meta.c.key == HEAD)).scalar_one()
    seal, reached = FIRST_SEAL, head == FIRST_SEAL
    for page in _pages(database, ledger, *(c.name for c in ledger.c if c.name != "seq")):
        for row in page:
            verdict.entries += 1
            verdict.cost_usd += row["cost_usd"] or 0
            verdict.held_usd += row["held_usd"] or 0
            verdict.unknown += row["cost_usd"] is None
            if seal_row(seal, dict(row)) != row["seal"]:
                what = "the entry was changed, or one before it was taken out or put in"
                verdict.findings.append(_finding("broken_seal", row, what))
            seal = row["seal"]
            reached = reached or seal == head
            wrong = _check_cost(row)
            if wrong is not None:
                verdict.findings.append(_finding("wrong_cost", row, wrong))
    if not reached:
        what = "the ledger ends before the entry that was made last"
        verdict.findings.append(Finding(damage="lost_end", interaction_id="", n=None, what=what))


def _check_cost(row: RowMapping) -> str | None:
    """What is wrong with an entry's cost, computed again from its usage and rates."""
    cost, basis, usage = row["cost_usd"], row["basis"], to_usage(row)
    try:
        rates = Rates.from_json(row["rates"])
    except ValueError:
        return "its rates can't be read"
    if basis == "refused":
        return None if cost == 0 else f"{show_usd(cost)} for a call that was refused"
    if basis == "answer":
        due = cost_of(usage, rates)
        same = due is not None and cost == due
        return None if same else f"{show_usd(cost)} instead of {show_usd(due)}"
    if basis in ("unknown", "unpriced"):
        return None if cost is None else f"{show_usd(cost)} although its basis is {basis}"
    return None if basis == "legacy" else f"its basis {basis} is unknown"


def _compare_page(database: Database, page: list[RowMapping], verdict: Verdict) -> None:
    ids = [row["id"] for row in page]
    with database.read() as connection:
        called, entered = (
            _by_interaction(
                connection.execute(select(table).where(table.c.interaction_id.in_(ids))).mappings()
            )
            for table in (attempts, ledger)
        )
    for row in page:
        verdict.findings.extend(_compare(row, called[row["id"]], entered[row["id"]]))


def _by_interaction(found: Any) -> dict[str, dict[int, RowMapping]]:
    groups: dict[str, dict[int, RowMapping]] = defaultdict(dict)
    for row in found:
        groups[row["interaction_id"]][row["n"]] = row
    return groups


def _compare(
    row: RowMapping, called: dict[int, RowMapping], entered: dict[int, RowMapping]
) -> Iterator[Finding]:
    """One interaction with its attempts and its entries."""
    name = row["id"]

    def found(damage: Damage, n: int | None, what: str) -> Finding:
        return Finding(damage=damage, interaction_id=name, n=n, what=what)

    for n in sorted(called.keys() - entered.keys()):
        yield found("missing_entry", n, "the attempt is not in the ledger")
    for n in sorted(entered.keys() - called.keys()):
        yield found("missing_attempt", n, "the entry has no attempt")
    for n in sorted(called.keys() & entered.keys()):
        call, entry = called[n], entered[n]
        differing = [column for column in COPIED if call[column] != entry[column]]
        differing += ["at"] if call["started_at"] != entry["at"] else []
        differing += [column for column in _SHARED if row[column] != entry[column]]
        differing += ["detached"] if entry["detached"] else []
        if differing:
            yield found("differs", n, f"in {', '.join(differing)}")
    if row["tier"] == "teacher" and row["status"] == "ok" and not called:
        yield found("nothing_billed", None, "the teacher answered without an attempt")
    # Before there was a ledger only the last attempt's cost counted.
    if not any(call["basis"] == "legacy" for call in called.values()):
        costs = [call["cost_usd"] for call in called.values()]
        due = None if None in costs else sum(costs, Decimal(0))
        if row["cost_usd"] != due:
            what = f"{show_usd(row['cost_usd'])} instead of {show_usd(due)}"
            yield found("wrong_sum", None, what)


def _find_orphans(database: Database) -> Iterator[Finding]:
    """Entries whose interaction isn't there, though nobody purged it."""
    present = exists().where(interactions.c.id == ledger.c.interaction_id)
    query = select(ledger.c.interaction_id, ledger.c.n).where(~ledger.c.detached, ~present)
    with database.read() as connection:
        gone = connection.execute(query.order_by(ledger.c.seq)).mappings().all()
    for row in gone:
        yield _finding("missing_interaction", row, "its interaction is gone and was not purged")


def _finding(damage: Damage, row: RowMapping, what: str) -> Finding:
    return Finding(damage=damage, interaction_id=row["interaction_id"], n=row["n"], what=what)


def _pages(database: Database, table: Table, *names: str) -> Iterator[list[RowMapping]]:
    """The rows of a table in order of ``seq``; no transaction stays open between pages."""
    columns, after = [table.c[name] for name in names], 0
    while True:
        query = select(table.c.seq, *columns).where(table.c.seq > after).order_by(table.c.seq)
        with database.read() as connection:
            page = [*connection.execute(query.limit(_PAGE)).mappings()]
        if page:
            yield page
        if len(page) < _PAGE:
            return
        after = page[-1]["seq"]
