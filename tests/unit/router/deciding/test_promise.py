"""Promises survive restarts, and other terms start afresh."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.promise.certificate import Certificate, Terms
from policies.promise.ledger import Ledger
from policies.types import Ask, InSlice, Tier, Trial
from router.deciding.promise import PromiseKeeper, proven_share
from router.meter.metrics import Metrics
from router.record.model import Interaction, PromiseState, write_ask
from router.record.store import Store
from router.settings.model import PromiseSettings
from router.settings.slices import SliceSettings
from tests.unit.router.record.records import make_record

PROMISE = PromiseSettings(agreement=0.95)
GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
CHECK = Ask(tier=Tier.TEACHER, commit=True, reason="proof", propensity=0.5, level=0, floor=0.5)


def _gather(store: Store, trials: int) -> PromiseKeeper:
    keeper = PromiseKeeper(store, Metrics())
    keeper.account("w", PROMISE)
    for i in range(trials):
        state = keeper.observe("w", GOOD)
        record = make_record(f"i{i}", workload="w", level=0, seen=True, draft_agreed=True)
        store.append([record], {"w": state})
    return keeper


def test_serves_nothing_until_proven() -> None:
    keeper = _gather(Store.open(":memory:"), 0)
    account = keeper.account("w", PROMISE)
    assert isinstance(account, Certificate)
    assert (account.level(), proven_share(account), account.trials) == (None, 1.0, 0)


def test_a_restart_goes_on_where_it_stood() -> None:
    store = Store.open(":memory:")
    before = _gather(store, 250).account("w", PROMISE)
    again = PromiseKeeper(store, Metrics()).account("w", PROMISE)
    assert isinstance(again, Certificate)
    assert again.state() == before.state()
    assert again.level() is not None


def test_a_guarantee_has_a_ledger_that_goes_on_after_a_restart() -> None:
    store = Store.open(":memory:")
    guarantee = PromiseSettings(agreement=0.95, guarantee=True)
    keeper = PromiseKeeper(store, Metrics())
    keeper.account("w", guarantee)
    wrong = Trial(level=0, seen=True, wrong=True, propensity=0.5, floor=0.5)
    for i, trial in enumerate([GOOD, wrong]):
        state = keeper.observe("w", trial)
        store.append([make_record(f"i{i}", workload="w", level=0)], {"w": state})
    late = make_record("late", workload="w", level=0, seen=True, draft_agreed=True)
    store.append([late], {})
    again = PromiseKeeper(store, Metrics()).account("w", guarantee)
    assert isinstance(again, Ledger)
    assert again.trials == 3
    assert again.bound() == keeper.account("w", guarantee).bound() > Ledger(TERMS).bound()
    # The evidence for a certificate is none for a ledger, and the reverse.
    assert PromiseKeeper(store, Metrics()).account("w", PROMISE).trials == 0


def test_only_a_ledger_has_reservations_to_give_back() -> None:
    keeper = PromiseKeeper(Store.open(":memory:"), Metrics())
    ledger = keeper.account("g", PromiseSettings(agreement=0.95, guarantee=True))
    keeper.account("c", PROMISE)
    assert isinstance(ledger, Ledger)
    free = ledger.spare()
    ledger.reserve(0.5)
    assert ledger.spare() < free
    for workload in ("g", "c", "unknown"):
        keeper.release(workload, CHECK)
    assert ledger.spare() == free


def test_interactions_after_the_snapshot_are_caught_up() -> None:
    store = Store.open(":memory:")
    _gather(store, 10)
    late = make_record("late", workload="w", level=0, seen=True, draft_agreed=True)
    store.append([late], {})
    again = PromiseKeeper(store, Metrics())
    assert again.account("w", PromiseSettings(agreement=0.95)).trials == 11


def test_other_terms_start_afresh() -> None:
    store = Store.open(":memory:")
    _gather(store, 10)
    again = PromiseKeeper(store, Metrics())
    assert again.account("w", PromiseSettings(agreement=0.97)).trials == 0


def _notice(keeper: PromiseKeeper, metrics: Metrics) -> PromiseState:
    """Good answers, then bad ones until the alarm."""
    keeper.account("w", PROMISE)
    good = replace(GOOD, confidence=0.95)
    for _ in range(300):
        keeper.observe("w", good)
    while keeper.last_alarm("w") is None:
        state = keeper.observe("w", replace(good, wrong=True, level=20))
    assert b'tutelage_drift_alarms_total{kind="agreement",workload="w"} 1.0' in metrics.render()[0]
    return state


def test_an_alarm_takes_the_level_away_is_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics = Metrics()
    keeper = PromiseKeeper(Store.open(":memory:"), metrics)
    _notice(keeper, metrics)
    account = keeper.account("w", PROMISE)
    assert isinstance(account, Certificate)
    assert (account.level(), account.withheld is None) == (None, False)
    assert "Drift in workload w: drafts agree with the teacher less often" in caplog.text
    assert keeper.last_alarm("unknown") is None
    assert keeper.take_raised() == [("w", keeper.last_alarm("w"))]
    assert keeper.take_raised() == []
    assert keeper.is_tightened("w")
    assert not keeper.is_tightened("unknown")


def test_an_alarm_outlives_a_restart() -> None:
    store = Store.open(":memory:")
    metrics = Metrics()
    keeper = PromiseKeeper(store, metrics)
    state = _notice(keeper, metrics)
    store.append([make_record("i", workload="w")], {"w": state})
    again = PromiseKeeper(store, metrics)
    account = again.account("w", PROMISE)
    assert isinstance(account, Certificate)
    assert account.withheld is not None
    assert again.last_alarm("w") == keeper.last_alarm("w")
    # It was told when it was raised, not when it was read.
    assert again.take_raised() == []
    assert again.is_tightened("w")
    assert b'tutelage_drift_alarms_total{kind="agreement",workload="w"} 1.0' in metrics.render()[0]


def test_a_state_from_before_there_was_a_watch_is_used() -> None:
    store = Store.open(":memory:")
    before = _gather(store, 0)
    state = before.observe("w", GOOD)
    old = {name: value for name, value in state.state.items() if name != "watch"}
    store.append([make_record("i", workload="w")], {"w": replace(state, state=old)})
    again = PromiseKeeper(store, Metrics())
    assert again.account("w", PROMISE).trials == 1
    assert again.last_alarm("w") is None


def test_a_milder_alarm_asks_more_and_serves_on() -> None:
    keeper = PromiseKeeper(Store.open(":memory:"), Metrics())
    account = keeper.account("w", PROMISE)
    assert isinstance(account, Certificate)
    for _ in range(300):
        keeper.observe("w", replace(GOOD, teacher_version="v1"))
    keeper.observe("w", replace(GOOD, teacher_version="v2"))
    assert (account.level() is None, account.wary) == (False, True)


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
        pytest.param({**WHOLE, "watch": {}}, id="no-watch"),
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
    certificate = keeper.account("w", PROMISE)
    assert isinstance(certificate, Certificate)
    assert (certificate.trials, certificate.level()) == (0, None)
    keeper.observe("w", GOOD)


def test_a_stored_interaction_that_cannot_be_evidence_starts_afresh() -> None:
    store = Store.open(":memory:")
    _gather(store, 10)
    odd = make_record("odd", workload="w", level=0, seen=True, propensity=0.1, floor=0.5)
    store.append([odd], {})
    again = PromiseKeeper(store, Metrics())
    assert again.account("w", PromiseSettings(agreement=0.95)).trials == 0


def _slice(match: str = "*refund*") -> SliceSettings:
    return SliceSettings.model_validate({"name": "s", "match": match})


IN_SLICE = replace(GOOD, slices=(InSlice(name="s", level=0, floor=1.0),))


def test_a_slice_has_an_account_of_its_own_that_outlives_a_restart() -> None:
    store, metrics = Store.open(":memory:"), Metrics()
    keeper = PromiseKeeper(store, metrics)
    whole = keeper.account("w", PROMISE, [_slice()])
    step = write_ask(
        Ask(tier=Tier.TEACHER, commit=True, reason="observe", level=0, slices=IN_SLICE.slices)
    )
    for i, trial in enumerate([GOOD, IN_SLICE, IN_SLICE]):
        state = keeper.observe("w", trial)
        store.append([make_record(f"i{i}", workload="w", level=0)], {"w": state})
    late = make_record("late", workload="w", level=0, seen=True, draft_agreed=True, trace=(step,))
    store.append([late], {})
    assert (whole.trials, keeper.slices("w")["s"].trials) == (3, 2)
    assert whole.terms.confidence == pytest.approx(0.975)
    assert b'tutelage_promise{workload="w/s"} 0.95' in metrics.render()[0]
    again = PromiseKeeper(store, Metrics())
    assert again.account("w", PROMISE, [_slice()]).trials == 4
    assert again.slices("w")["s"].trials == 3
    other = PromiseKeeper(store, Metrics())
    assert other.account("w", PROMISE, [_slice("*return*")]).trials == 4
    # What the old pattern matched is no evidence.
    assert other.slices("w")["s"].trials == 0
    assert PromiseKeeper(store, Metrics()).slices("w") == {}


def test_an_alarm_tightens_every_slice() -> None:
    metrics = Metrics()
    keeper = PromiseKeeper(Store.open(":memory:"), metrics)
    keeper.account("w", PROMISE, [_slice()])
    good = replace(IN_SLICE, confidence=0.95)
    for _ in range(300):
        keeper.observe("w", good)
    found = keeper.slices("w")["s"]
    assert isinstance(found, Certificate)
    assert found.level() is not None
    while keeper.last_alarm("w") is None:
        keeper.observe("w", replace(GOOD, confidence=0.95, wrong=True, level=20))
    assert found.level() is None
    assert found.tightened


def test_the_ledgers_of_slices_get_their_reservations_back() -> None:
    keeper = PromiseKeeper(Store.open(":memory:"), Metrics())
    guarantee = PromiseSettings(agreement=0.95, guarantee=True)
    keeper.account("w", guarantee, [_slice()])
    ledger = keeper.slices("w")["s"]
    assert isinstance(ledger, Ledger)
    free = ledger.spare()
    ledger.reserve(0.5)
    keeper.release("w", replace(CHECK, slices=IN_SLICE.slices))
    assert ledger.spare() == free


def test_workers_that_share_a_store_come_to_the_same_state() -> None:
    store = Store.open(":memory:")
    one = PromiseKeeper(store, Metrics(), shared=True)
    one.account("w", PROMISE)
    store.append([_proof(n) for n in range(600)])
    assert one.observe("w", GOOD) is None  # what it saw itself counts once it is in the store
    other = PromiseKeeper(store, Metrics(), shared=True)
    other.account("w", PROMISE)
    assert _follow(store, one) is None
    store.append([_proof(n) for n in range(600, 1300)])
    snapshots = [_follow(store, keeper) for keeper in (one, other)]
    first, second = (keeper.account("w", PROMISE).state() for keeper in (one, other))
    assert first == second
    for snapshot in snapshots:
        if snapshot is not None:
            store.keep_promise("w", snapshot)
    stored = store.promise_state("w")
    assert stored is not None
    assert stored.upto_seq == 1300
    third = PromiseKeeper(store, Metrics(), shared=True)
    assert third.account("w", PROMISE).state() == first
    older = replace(stored, upto_seq=7, state={})
    store.keep_promise("w", older)
    assert store.promise_state("w") == stored


def _proof(n: int) -> Interaction:
    return make_record(f"i{n}", workload="w", level=0, seen=True, draft_agreed=True)


def _follow(store: Store, keeper: PromiseKeeper) -> PromiseState | None:
    ((workload, unread),) = keeper.followed().items()
    return keeper.take_in(workload, [*unread])


def test_a_milder_alarm_does_not_hide_that_answers_have_changed() -> None:
    """What waits for a change may look only after both have come."""
    keeper = PromiseKeeper(Store.open(":memory:"), Metrics())
    keeper.account("w", PROMISE)
    assert keeper.last_change("w") is None
    versions = [None, "1", "2"]
    for version in versions:
        keeper.observe("w", replace(GOOD, teacher_version=version))
    changed = keeper.last_change("w")
    assert changed is not None
    assert changed.kind == "teacher"
    sure, unsure = (replace(GOOD, confidence=value) for value in (0.95, 0.3))
    for trial in (*[sure] * 300, *[unsure] * 300):
        keeper.observe("w", trial)
    last = keeper.last_alarm("w")
    assert last is not None
    assert last.kind == "evidence"
    assert keeper.last_change("w") == changed


def test_what_is_held_back_serves_nothing_until_evidence_returns() -> None:
    keeper = PromiseKeeper(Store.open(":memory:"), Metrics())
    account = keeper.account("w", PROMISE)
    assert isinstance(account, Certificate)
    while account.level() is None:
        keeper.observe("w", GOOD)
    keeper.hold_back("w")
    assert account.level() is None
    keeper.hold_back("unknown")  # it may have gone meanwhile
    while account.level() is None:
        keeper.observe("w", GOOD)
