"""Promises survive restarts, and other terms start afresh."""

from __future__ import annotations

from typing import Any

import pytest

from policies.promise.certificate import Certificate, Terms
from policies.types import Trial
from router.meter.metrics import Metrics
from router.promise import PromiseKeeper
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings
from tests.unit.router.record.records import make_record

GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)


def _gather(store: Store, trials: int) -> PromiseKeeper:
    keeper = PromiseKeeper(store, Metrics())
    keeper.certificate("w", PromiseSettings(agreement=0.95))
    for i in range(trials):
        state = keeper.observe("w", GOOD)
        record = make_record(f"i{i}", workload="w", level=0, seen=True, draft_agreed=True)
        store.append([record], {"w": state})
    return keeper


def test_serves_nothing_until_proven() -> None:
    keeper = _gather(Store.open(":memory:"), 0)
    (view,) = keeper.views()
    assert (view.level, view.lower_bound, view.trials) == (None, 1.0, 0)


def test_a_restart_goes_on_where_it_stood() -> None:
    store = Store.open(":memory:")
    before = _gather(store, 250).views()
    again = PromiseKeeper(store, Metrics())
    again.certificate("w", PromiseSettings(agreement=0.95))
    assert again.views() == before
    assert before[0].level is not None


def test_interactions_after_the_snapshot_are_caught_up() -> None:
    store = Store.open(":memory:")
    _gather(store, 10)
    late = make_record("late", workload="w", level=0, seen=True, draft_agreed=True)
    store.append([late], {})
    again = PromiseKeeper(store, Metrics())
    assert again.certificate("w", PromiseSettings(agreement=0.95)).trials == 11


def test_other_terms_start_afresh() -> None:
    store = Store.open(":memory:")
    _gather(store, 10)
    again = PromiseKeeper(store, Metrics())
    assert again.certificate("w", PromiseSettings(agreement=0.97)).trials == 0


TERMS = Terms(agreement=0.95)
WHOLE = Certificate(TERMS).state()


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({}, id="empty"),
        pytest.param([], id="another-type"),
        pytest.param({**WHOLE, "log_wealth": [0.0]}, id="another-shape"),
        pytest.param({**WHOLE, "log_wealth": [None] * len(WHOLE["log_wealth"])}, id="no-numbers"),
        pytest.param({**WHOLE, "trials": None}, id="no-count"),
    ],
)
def test_a_state_that_cannot_be_used_starts_afresh(state: Any) -> None:
    store = Store.open(":memory:")
    store.append(
        [make_record("i", workload="w")], {"w": PromiseState(terms=TERMS.key, state=WHOLE)}
    )
    # As another version may have left it; the store itself takes no list for a state.
    row = PromiseState(terms=TERMS.key, state=state)
    store.promise_state = lambda workload: row  # type: ignore[method-assign]
    keeper = PromiseKeeper(store, Metrics())
    certificate = keeper.certificate("w", PromiseSettings(agreement=0.95))
    assert (certificate.trials, certificate.level()) == (0, None)
    keeper.observe("w", GOOD)


def test_a_stored_interaction_that_cannot_be_evidence_starts_afresh() -> None:
    store = Store.open(":memory:")
    _gather(store, 10)
    odd = make_record("odd", workload="w", level=0, seen=True, propensity=0.1, floor=0.5)
    store.append([odd], {})
    again = PromiseKeeper(store, Metrics())
    assert again.certificate("w", PromiseSettings(agreement=0.95)).trials == 0
