"""``ledger verify``: each kind of damage is found, named, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from policies.types import Tier
from router.meter.prices import Rates, Usage, cost_of
from router.record.database import Database, dump_json
from router.record.engines import open_backend
from router.record.model import Attempt, Interaction
from router.record.store import Store
from tests.unit.router.record.records import make_record

RATES = Rates(input=Decimal("2.5"), cached_input=Decimal("1.25"), output=Decimal(10))
USAGE = Usage(prompt_tokens=120, completion_tokens=7, cached_tokens=20)
COST = cost_of(USAGE, RATES)


def make_priced(record_id: str, **changes: Any) -> Interaction:
    """Answered at the second try: the first was refused, so it cost nothing."""
    kept = make_record(record_id, cost_usd=COST)
    answered = replace(
        kept.attempts[0], n=1, usage=USAGE, cost_usd=COST, basis="answer", rates=RATES.to_json()
    )
    refused = replace(
        answered, n=0, usage=None, status=503, cost_usd=Decimal(0), basis="refused", rates=None
    )
    return replace(kept, attempts=(refused, answered), **changes)


@pytest.fixture
def tampered(any_url: str) -> Iterator[tuple[Store, Database]]:
    """A store of several hundred interactions that agrees, and a way to damage it."""
    store, database = Store.open(any_url), Database(open_backend(any_url, dump_json))
    store.append([make_priced(f"i{n}") for n in range(600)])
    store.append([make_priced(f"j{n}") for n in range(3)])
    yield store, database
    store.close()
    database.close()


def damage(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def test_what_agrees(tampered: tuple[Store, Database]) -> None:
    store, _ = tampered
    verdict = store.verify_ledger()
    assert verdict.findings == []
    assert (verdict.interactions, verdict.entries, verdict.unknown) == (603, 1206, 0)
    assert COST is not None
    assert verdict.cost_usd == 603 * COST
    assert verdict.to_json()["cost_usd"] == f"{603 * COST:f}".rstrip("0")


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("UPDATE ledger SET cost_usd = 1 WHERE interaction_id = 'i7' AND n = 1",
         {("broken_seal", "i7", 1), ("wrong_cost", "i7", 1), ("differs", "i7", 1)}),
        ("UPDATE ledger SET prompt_tokens = 9 WHERE interaction_id = 'i7' AND n = 1",
         {("broken_seal", "i7", 1), ("wrong_cost", "i7", 1), ("differs", "i7", 1)}),
        ("UPDATE ledger SET rates = '{\"input\": \"9\"}' WHERE interaction_id = 'i7' AND n = 1",
         {("broken_seal", "i7", 1), ("wrong_cost", "i7", 1), ("differs", "i7", 1)}),
        ("UPDATE ledger SET tenant = 'other' WHERE interaction_id = 'i7' AND n = 1",
         {("broken_seal", "i7", 1), ("differs", "i7", 1)}),
        ("UPDATE ledger SET basis = 'unknown' WHERE interaction_id = 'i7' AND n = 1",
         {("broken_seal", "i7", 1), ("wrong_cost", "i7", 1), ("differs", "i7", 1)}),
        ("UPDATE ledger SET detached = (1 = 1) WHERE interaction_id = 'i7' AND n = 1",
         {("differs", "i7", 1)}),
        ("UPDATE ledger SET seal = 'x' WHERE interaction_id = 'i7' AND n = 1",
         {("broken_seal", "i7", 1), ("broken_seal", "i8", 0)}),
        ("DELETE FROM ledger WHERE interaction_id = 'i7' AND n = 1",
         {("missing_entry", "i7", 1), ("broken_seal", "i8", 0)}),
        ("DELETE FROM ledger WHERE interaction_id = 'j2' AND n = 1",
         {("missing_entry", "j2", 1), ("lost_end", "", None)}),
        ("DELETE FROM attempts WHERE interaction_id = 'i7' AND n = 1",
         {("missing_attempt", "i7", 1), ("wrong_sum", "i7", None)}),
        ("DELETE FROM attempts WHERE interaction_id = 'i7'",
         {("missing_attempt", "i7", 0), ("missing_attempt", "i7", 1),
          ("nothing_billed", "i7", None), ("wrong_sum", "i7", None)}),
        ("UPDATE attempts SET completion_tokens = 8 WHERE interaction_id = 'i7' AND n = 1",
         {("differs", "i7", 1)}),
        ("UPDATE attempts SET cost_usd = NULL WHERE interaction_id = 'i7' AND n = 1",
         {("differs", "i7", 1), ("wrong_sum", "i7", None)}),
        ("UPDATE interactions SET cost_usd = 0 WHERE id = 'i7'", {("wrong_sum", "i7", None)}),
        ("UPDATE interactions SET cost_usd = NULL WHERE id = 'i7'", {("wrong_sum", "i7", None)}),
        ("UPDATE interactions SET key_name = 'thief' WHERE id = 'i7'",
         {("differs", "i7", 0), ("differs", "i7", 1)}),
        ("DELETE FROM interactions WHERE id = 'i7'",
         {("missing_interaction", "i7", 0), ("missing_interaction", "i7", 1)}),
    ],
)  # fmt: skip
def test_each_kind_of_damage(
    tampered: tuple[Store, Database], statement: str, expected: set[tuple[str, str, int | None]]
) -> None:
    store, database = tampered
    damage(database, statement)
    found = {(f.damage, f.interaction_id, f.n) for f in store.verify_ledger().findings}
    assert found == expected


def test_an_entry_that_was_put_in(tampered: tuple[Store, Database]) -> None:
    store, database = tampered
    names = "n, at, tenant, key_name, workload, tier, model, purpose, basis, detached, seal"
    damage(
        database,
        f"INSERT INTO ledger (interaction_id, {names}) SELECT 'ghost', {names} FROM ledger"
        " WHERE interaction_id = 'i7' AND n = 1",
    )
    found = {(f.damage, f.interaction_id, f.n) for f in store.verify_ledger().findings}
    assert {("missing_interaction", "ghost", 1), ("broken_seal", "ghost", 1)} <= found


def test_an_interaction_taken_out_with_everything(tampered: tuple[Store, Database]) -> None:
    store, database = tampered
    damage(
        database,
        "DELETE FROM ledger WHERE interaction_id = 'i7'",
        "DELETE FROM interactions WHERE id = 'i7'",
    )
    found = [(f.damage, f.interaction_id, f.n) for f in store.verify_ledger().findings]
    assert found == [("broken_seal", "i8", 0)]


def test_purged_interactions_leave_money_that_agrees(store: Store) -> None:
    store.append([make_priced(f"old{n}", created_at=10.0) for n in range(3)])
    store.append([make_priced("new", created_at=20.0)])
    assert store.purge_before(15.0) == 3
    verdict = store.verify_ledger()
    assert (verdict.findings, verdict.interactions, verdict.entries) == ([], 1, 8)


def test_an_unknown_cost_is_held_and_never_zero(store: Store) -> None:
    whole = make_priced("i1")
    cut = replace(
        whole.attempts[1], usage=None, cost_usd=None, basis="unknown", held_usd=Decimal("0.02")
    )
    store.append([replace(whole, attempts=(whole.attempts[0], cut), cost_usd=None)])
    verdict = store.verify_ledger()
    assert verdict.findings == []
    assert (verdict.unknown, verdict.held_usd) == (1, Decimal("0.02"))
    store.append([replace(whole, id="i2", attempts=_of("i2", whole, cut), cost_usd=Decimal(0))])
    (finding,) = store.verify_ledger().findings
    assert (finding.damage, finding.what) == ("wrong_sum", "$0.00 instead of unknown")


def _of(record_id: str, whole: Interaction, last: Attempt) -> tuple[Attempt, ...]:
    return tuple(replace(call, interaction_id=record_id) for call in (whole.attempts[0], last))


def test_drafts_and_stores_from_before_the_ledger(store: Store) -> None:
    draft = make_record("d1", tier=Tier.STUDENT, attempts=(), cost_usd=Decimal(0))
    store.append([draft, make_record("i1")])  # the latter: of basis legacy
    assert store.verify_ledger().findings == []
