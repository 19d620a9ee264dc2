from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from router.record.model import Interaction
from router.record.spent import Purpose
from router.record.store import Store
from tests.unit.router.record.records import make_record

CENT = Decimal("0.01")


def make_bought(n: int, purpose: Any, cost_usd: Decimal | None, **changes: Any) -> Interaction:
    record = make_record(f"i{n}", **changes)
    (attempt,) = record.attempts
    return replace(record, attempts=(replace(attempt, purpose=purpose, cost_usd=cost_usd),))


def test_costs_are_summed_by_purpose_and_leave_with_their_interactions(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.record.spent._STEP", 4)
    store.append([make_bought(n, "answer", CENT, created_at=float(n)) for n in range(6)])
    store.append([make_bought(n, "audit", 2 * CENT, workload="bank") for n in range(6, 9)])
    store.append([make_bought(9, "audit", None, created_at=0.5)])
    counted = {
        "answer": Purpose(calls=6, cost_usd=6 * CENT, unknown=0),
        "audit": Purpose(calls=4, cost_usd=6 * CENT, unknown=1),
    }
    assert store.costs_by_purpose() == counted
    store.sum_up_ledger()
    assert store.costs_by_purpose() == counted
    of_bank = {"audit": Purpose(calls=3, cost_usd=6 * CENT, unknown=0)}
    assert store.costs_by_purpose("bank") == of_bank
    store.purge_before(3.0)
    left = {"answer": Purpose(calls=3, cost_usd=3 * CENT, unknown=0), **of_bank}
    assert store.costs_by_purpose() == left
    store.append([make_bought(n, "draft", CENT) for n in range(10, 14)])
    store.sum_up_ledger()
    drafts = Purpose(calls=4, cost_usd=4 * CENT, unknown=0)
    assert store.costs_by_purpose() == left | {"draft": drafts}
