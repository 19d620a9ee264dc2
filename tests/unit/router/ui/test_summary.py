from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from policies.types import Tier
from router.record.model import Interaction
from router.record.store import Store
from router.settings.model import LearningSettings, WorkloadBudget, WorkloadSettings
from router.ui.summary import (
    describe_measured,
    describe_spending,
    describe_tiers,
    find_common_target,
    find_targets,
)
from tests.unit.router.record.records import make_record
from tests.unit.router.ui.test_view import make_settings

CENT = Decimal("0.01")


@pytest.fixture
def store() -> Iterator[Store]:
    opened = Store.open(":memory:", lambda: 50.0)
    yield opened
    opened.close()


def make_bought(name: str, purpose: Any, **changes: Any) -> Interaction:
    usual: dict[str, Any] = {"cost_usd": CENT, "teacher_cost_usd": 2 * CENT, "workload": "shop"}
    record = make_record(name, **(usual | changes))
    (attempt,) = record.attempts
    return replace(record, attempts=(replace(attempt, purpose=purpose, cost_usd=CENT),))


def test_what_is_saved_is_net_of_training(store: Store) -> None:
    purposes = ("answer", "proof", "audit", "draft")
    store.append([make_bought(purpose, purpose) for purpose in purposes])
    cycle = store.begin_cycle("shop", 4)
    assert cycle is not None
    store.end_cycle(cycle, "promoted", {"core_seconds": 1800.0})
    settings = make_settings()
    totals = store.totals()
    without = describe_spending(store, settings, totals, None)
    spent = [without[part]["usd"] for part in ("answers", "checks", "student")]
    assert spent == ["0.01", "0.02", "0.01"]
    assert (without["training"], without["core_seconds"]) == (None, 1800.0)
    assert (without["net_usd"]["usd"], without["net"]) == ("0.04", 0.5)
    learning = LearningSettings(usd_per_core_hour=2 * CENT)
    with_price = settings.model_copy(update={"learning": learning})
    priced = describe_spending(store, with_price, totals, None)
    assert (priced["training"]["usd"], priced["net"]) == ("0.01", 0.375)
    assert describe_spending(store, settings, store.totals("mail"), "mail")["net"] is None


def test_targets_of_several_workloads_are_weighed_by_their_traffic(store: Store) -> None:
    def aim(name: str, usd: Decimal) -> WorkloadSettings:
        return WorkloadSettings(name=name, budget=WorkloadBudget(usd_per_interaction=usd))

    store.append([make_record(f"s{n}", workload="shop") for n in range(3)])
    store.append([make_record("m", workload="mail")])
    figures = store.figures_by_workload()
    both = find_targets(make_settings(workloads=(aim("shop", CENT), aim("mail", 5 * CENT))))
    assert find_common_target(both, figures, None) == 2 * CENT
    assert find_common_target(both, figures, "mail") == 5 * CENT
    assert find_common_target(both, figures, "other") is None
    alone = find_targets(make_settings(workloads=(aim("shop", CENT),)))
    assert find_common_target(alone, figures, None) == CENT
    unlike = {"shop": CENT, "elsewhere": 5 * CENT}
    assert find_common_target(unlike, figures, None) is None
    assert find_common_target({}, figures, None) is None


def test_a_workload_shows_what_was_measured(store: Store) -> None:
    served: dict[str, Any] = {"tier": Tier.STUDENT, "cost_usd": Decimal(0), "propensity": 0.5}
    store.append([make_record(f"a{n}", workload="shop", cost_usd=CENT) for n in range(2)])
    for n in range(8):
        audit: dict[str, Any] = {"seen": n < 4, "agreed": True if n < 4 else None}
        store.append([make_record(f"s{n}", workload="shop", **served, **audit)])
    store.roll_up()
    made = describe_measured(store.figures_by_workload()["shop"], CENT)
    assert (made["cost_each"]["usd"], made["target"]["usd"]) == ("0.002", "0.01")
    assert (made["escalated"], made["interactions"]) == (0.2, 10)
    assert made["estimate"]["all"]["estimate"] == 1.0
    assert made["estimate"]["checks"] == 4
    assert 0.5 < made["estimate"]["all"]["low"] < 0.7
    assert describe_measured(None, None) == {"cost_each": None, "target": None, "estimate": None}


def test_tiers_are_told_with_their_share_of_the_newest(store: Store) -> None:
    store.append([make_record("b", tier=Tier.STUDENT), make_record("a", first_token_ms=90.0)])
    told = describe_tiers(store, store.newest_figures(10), None)
    assert [(one["tier"], one["share"]) for one in told] == [("student", 0.5), ("teacher", 0.5)]
    assert [one["first_token"] and one["first_token"]["p95"] for one in told] == [None, 90.0]
    assert describe_tiers(store, store.newest_figures(1), None)[1]["share"] == 1.0
