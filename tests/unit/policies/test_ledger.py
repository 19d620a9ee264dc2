"""The ledger's arithmetic: charges, reservations, credit, and what a guarantee asks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from policies.promise.certificate import Terms
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.ledger import Ledger
from policies.types import Ask, Evidence, Features, Tier, Trial

TERMS = Terms(agreement=0.95)
READY = Features(workload="w", student_ready=True)


def trial(share: float, *, seen: bool = True, wrong: bool = False, failed: bool = False) -> Trial:
    return Trial(level=0, seen=seen, wrong=wrong, failed=failed, propensity=share, floor=share)


def earned(interactions: int = 2000) -> Ledger:
    ledger = Ledger(TERMS)
    for _ in range(interactions):
        ledger.observe(trial(1.0))
    return ledger


def asks(ledger: Ledger, confidence: float | None, coin: float, **features: Any) -> list[Ask]:
    flow = GuaranteePolicy(ledger, lambda: coin).flow(
        Features(workload="w", **{"student_ready": True, **features})
    )
    found = [next(flow)]
    try:
        while True:
            found.append(flow.send(Evidence(available=True, confidence=confidence)))
    except StopIteration:
        return found


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_charge_balances_the_coin(share: float) -> None:
    ledger = Ledger(TERMS)
    before = ledger.bound()
    ledger.observe(trial(share, wrong=True))
    nats = (ledger.bound() - before) * ledger.growth
    assert share * math.exp(-nats) + (1.0 - share) * math.exp(ledger.growth) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "free",
    [
        trial(1.0, wrong=True),
        trial(0.5),
        trial(0.5, seen=False),
    ],
)
def test_what_costs_nothing(free: Trial) -> None:
    ledger = Ledger(TERMS)
    before = ledger.bound()
    ledger.observe(free)
    assert ledger.bound() == before
    assert ledger.trials == 1


def test_a_failed_check_counts_as_wrong_and_as_delivered_where_it_was() -> None:
    wrong, failed, served = Ledger(TERMS), Ledger(TERMS), Ledger(TERMS)
    wrong.observe(trial(0.5, wrong=True))
    failed.observe(trial(0.5, seen=False, failed=True))
    served.observe(replace(trial(0.5, seen=False, failed=True), served=True))
    assert failed.bound() == wrong.bound()
    assert served.bound() == pytest.approx(wrong.bound() + 1.0)


def test_a_teacher_that_is_down_earns_nothing() -> None:
    ledger = Ledger(TERMS)
    for _ in range(10_000):
        ledger.observe(trial(1.0, seen=False, failed=True))
    assert (ledger.trials, ledger.agreement(), ledger.can_serve()) == (0, 0.0, False)


@pytest.mark.parametrize("share", [0.0, 0.05, 1.1])
def test_a_share_that_proves_nothing_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="proves nothing"):
        Ledger(TERMS).observe(trial(share, wrong=True))


def test_over_the_served_there_is_no_guarantee() -> None:
    with pytest.raises(ValueError, match="over all"):
        Ledger(Terms(agreement=0.95, over="served"))


def test_nothing_is_served_before_the_start_is_earned() -> None:
    ledger = Ledger(TERMS)
    start = ledger.bound()
    while ledger.choose_share(0.0) is None:
        assert not ledger.can_serve()
        assert ledger.progress() < 1.0
        ledger.observe(trial(1.0))
    assert ledger.can_serve()
    assert ledger.trials * TERMS.risk > start


def test_a_promise_too_high_never_serves() -> None:
    ledger = Ledger(Terms(agreement=0.9995))
    for _ in range(100_000):
        ledger.observe(trial(1.0))
    assert (ledger.choose_share(0.0), ledger.can_serve(), ledger.progress()) == (None, False, 0.0)


def test_credit_shows_in_the_guaranteed_agreement() -> None:
    ledger = earned()
    assert ledger.agreement() > 0.0


def test_credit_is_kept_up_to_a_limit() -> None:
    a, b = earned(5_000), earned(50_000)
    assert a.spare() == b.spare()
    assert 0.0 < a.spare() < 5_000 * TERMS.risk / 2


def test_checks_grow_with_doubt_and_never_fall_below_the_floor() -> None:
    ledger = earned()
    doubts = [0.0, 0.1, 0.3, 0.6]
    shares = [ledger.choose_share(doubt) or 1.0 for doubt in doubts]
    assert shares == sorted(shares)
    assert shares[0] == ledger.floor
    assert ledger.choose_share(ledger.cut()) is None


def test_checks_under_way_are_reserved_until_they_are_settled() -> None:
    ledger = earned(600)
    free = ledger.spare()
    under_way = 0
    while (share := ledger.choose_share(0.0)) is not None:
        ledger.reserve(share)
        under_way += 1
    assert 0 < under_way < 20
    assert ledger.spare() < free
    for _ in range(under_way):
        ledger.observe(replace(trial(ledger.floor, seen=False, failed=True), served=True))
        assert ledger.spare() >= 0.0


def test_a_snapshot_holds_everything_but_what_is_under_way() -> None:
    ledger = earned()
    ledger.observe(trial(0.5, wrong=True))
    again = Ledger.restore(TERMS, ledger.state())
    assert again.state() == ledger.state()
    assert (again.spare(), again.cut()) == (ledger.spare(), ledger.cut())


@pytest.mark.parametrize(
    "change", [{"charged": -1.0}, {"trials": -1}, {"credit": math.nan}, {"trials": "many"}]
)
def test_a_snapshot_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"can't be|invalid literal"):
        Ledger.restore(TERMS, earned().state() | change)


def test_a_draft_is_served_or_checked_by_the_coin() -> None:
    ledger = earned()
    free = ledger.spare()
    served = asks(ledger, 0.99, coin=0.999)[-1]
    assert (served.tier, served.reason) == (Tier.STUDENT, "guaranteed")
    assert ledger.spare() == free
    checked = asks(ledger, 0.99, coin=0.0)[-1]
    assert (checked.tier, checked.reason) == (Tier.TEACHER, "proof")
    assert served.propensity == 1.0 - checked.propensity
    assert served.floor == checked.floor == checked.propensity
    assert ledger.spare() < free


def test_doubt_and_an_empty_purse_ask_the_teacher_outright() -> None:
    assert asks(earned(), 0.1, coin=0.999)[-1].reason == "below_threshold"
    assert asks(earned(0), 0.999, coin=0.999)[-1].reason == "observe"


def test_every_interaction_earns_its_allowance() -> None:
    assert asks(earned(0), None, 0.5, student_ready=False)[-1].level == 0
    assert asks(earned(0), None, 0.5, cascadable=False)[-1].level == 0
    assert [ask.level for ask in asks(earned(), 0.99, 0.999)] == [None, 0]
