"""A pool lends its level to members that earned it, and puts out those that don't belong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.promise.certificate import Certificate, Terms
from policies.promise.policy import Part
from policies.promise.pooled import DOUBTED, LEAST_TRIALS, Pool, Suspicion
from policies.types import InSlice, Trial
from tests.statistics.test_promise_policy import predict_thresholds

TERMS = Terms(agreement=0.95)
GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
BAD = replace(GOOD, wrong=True)


def make_pool(*names: str) -> Pool:
    pool = Pool(TERMS)
    for name in names:
        pool.enter(name, Certificate(TERMS))
    return pool


def feed(pool: Pool, name: str, trial: Trial, times: int = 1, *, alarmed: bool = False) -> None:
    for _ in range(times):
        floor = pool.floor()
        pool.member(name).own.observe(trial)
        pool.observe(name, trial, alarmed=alarmed, floor=floor)


def test_members_prove_together_what_none_has_proven_alone() -> None:
    pool = make_pool("a", "b", "c")
    for _ in range(60):
        for name in ("a", "b", "c"):
            feed(pool, name, GOOD)
    for name in ("a", "b", "c"):
        lens = pool.in_force(name)
        assert pool.member(name).own.level() is None
        assert lens.level() == pool.certificate.level() is not None
        assert (lens.borrowed, lens.leans, lens.wary) == (True, True, False)
        assert lens.lower_bound() == pool.certificate.lower_bound(lens.level()) >= 0.95


def test_a_new_member_is_not_served_by_the_others_evidence_at_once() -> None:
    pool = make_pool("a", "new")
    feed(pool, "a", GOOD, 200)
    assert pool.certificate.level() is not None
    feed(pool, "new", GOOD, LEAST_TRIALS - 1)
    assert (pool.member("new").standing, pool.in_force("new").level()) == ("new", None)
    feed(pool, "new", GOOD)
    assert pool.member("new").standing == "member"
    assert pool.in_force("new").borrowed


def test_one_that_errs_is_doubted_then_put_out_and_the_pool_withdraws() -> None:
    pool = make_pool("a", "bad")
    feed(pool, "a", GOOD, 200)
    feed(pool, "bad", GOOD, LEAST_TRIALS)
    served = pool.certificate.level()
    assert served is not None
    while pool.member("bad").standing == "member":
        feed(pool, "bad", BAD)
    assert pool.member("bad").standing == "doubted"
    assert pool.member("bad").suspicion.value() >= DOUBTED
    assert pool.in_force("bad").level() is None
    assert pool.in_force("bad").withheld is None
    feed(pool, "bad", BAD, 20)
    assert (pool.member("bad").standing, pool.member("bad").out) == ("out", "worse")
    assert pool.certificate.level() is None
    heard, trials = pool.heard, pool.certificate.trials
    while pool.member("bad").own.level() is None:
        feed(pool, "bad", GOOD)
    feed(pool, "bad", GOOD)
    assert pool.member("bad").standing == "out"
    assert pool.in_force("bad").level() == pool.member("bad").own.level()
    assert pool.heard > heard + 100
    assert pool.certificate.trials == trials
    while pool.certificate.level() is None:
        feed(pool, "a", GOOD)
    assert pool.certificate.trials < trials + 600


def test_a_doubted_member_recovers_while_everything_of_it_is_seen() -> None:
    pool = make_pool("a", "b")
    feed(pool, "a", GOOD, 200)
    feed(pool, "b", GOOD, LEAST_TRIALS)
    while pool.member("b").standing == "member":
        feed(pool, "b", BAD)
    feed(pool, "b", GOOD, 60)
    assert pool.member("b").standing == "member"


def test_after_an_alarm_a_member_comes_back_once_its_own_level_is_proven() -> None:
    pool = make_pool("a", "b")
    feed(pool, "a", GOOD, 200)
    feed(pool, "b", GOOD, 50)
    pool.member("b").own.withdraw()
    assert pool.observe("b", BAD, alarmed=True, floor=pool.floor()) == "alarm"
    assert pool.certificate.level() is None
    assert pool.observe("b", BAD, alarmed=True, floor=pool.floor()) is None
    while pool.member("b").own.level() is None:
        assert pool.member("b").standing == "out"
        feed(pool, "b", GOOD)
    assert pool.member("b").standing == "member"


def test_bets_do_not_know_whose_interaction_comes_next() -> None:
    """Two members in other states change the pool's wealth by the same."""
    pool = make_pool("serving", "observing")
    feed(pool, "serving", GOOD, 400)
    share = Part(certificate=pool.in_force("serving"), thresholds=predict_thresholds(TERMS))
    assert pool.in_force("observing").level() is None
    floor = share.share(None)
    assert floor < 1.0
    before = pool.certificate.state()
    grown = []
    for name, trial in (("observing", GOOD), ("serving", replace(GOOD, floor=floor))):
        pool.certificate = Certificate.restore(TERMS, before)
        pool.observe(name, trial, alarmed=False, floor=pool.floor())
        grown.append(pool.certificate.state())
    assert grown[0] == grown[1]


def test_more_of_a_borrower_is_checked_while_something_speaks_against_it() -> None:
    pool = make_pool("a", "b")
    feed(pool, "a", GOOD, 200)
    feed(pool, "b", GOOD, LEAST_TRIALS)
    lens = pool.in_force("b")
    part = Part(certificate=lens, thresholds=predict_thresholds(TERMS))
    assert (lens.borrowed, lens.wary, part.share(0.1)) == (True, False, 0.1)
    pool.member("b").suspicion.load({"trials": LEAST_TRIALS, "started": [1.0, 1.0, 1.0]})
    assert (lens.borrowed, lens.wary, part.share(0.1)) == (True, True, 0.2)


def test_the_laxer_level_is_in_force() -> None:
    pool = make_pool("a", "b")
    feed(pool, "a", GOOD, 2_000)
    own = pool.member("a").own.level()
    pool.certificate.withdraw()
    lens = pool.in_force("a")
    assert own is not None
    assert (lens.level(), lens.borrowed) == (own, False)
    assert (lens.leans, lens.wary) == (pool.member("a").own.leans, False)


def test_slices_of_a_trial_are_not_the_pools() -> None:
    pool = make_pool("a")
    feed(pool, "a", replace(GOOD, slices=(InSlice(name="s", level=0, floor=1.0),)))
    assert pool.certificate.trials == 1


def test_a_restart_goes_on_where_it_stood() -> None:
    pool = make_pool("a", "b")
    feed(pool, "a", GOOD, 150)
    feed(pool, "b", replace(BAD, level=3), 1)
    pool.observe("b", BAD, alarmed=True, floor=pool.floor())
    again = make_pool("a", "b", "later")
    again.restore(pool.state())
    again.keep_only(["a", "b"])
    assert again.state() == pool.state()
    assert again.member("b").out == "alarm"
    again.keep_only(["a"])
    again.enter("b", Certificate(TERMS))
    assert again.member("b").standing == "new"


@pytest.mark.parametrize(
    "change",
    [
        {"heard": "x"},
        {"certificate": {}},
        {"members": {"a": {"suspicion": {"trials": 1, "started": [0.5]}, "out": None}}},
        {"members": {"a": {"suspicion": {"trials": 1, "started": [0, 0, -1]}, "out": None}}},
        {"members": {"a": {"suspicion": Suspicion(TERMS).state(), "out": "bored"}}},
    ],
)
def test_a_state_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        make_pool("a").restore(make_pool("a").state() | change)


def test_what_tells_nothing_leaves_the_suspicion_as_it_is() -> None:
    served = Suspicion(Terms(agreement=0.95, over="served"))
    served.observe(replace(GOOD, level=9), 4)
    assert served.value() == pytest.approx(1.0)
    failed = Suspicion(TERMS)
    failed.observe(replace(GOOD, seen=False, failed=True), 4)
    assert failed.value() == pytest.approx(1.0)
    below = Suspicion(TERMS)
    below.observe(replace(BAD, level=9), 4)
    assert below.value() < 1.0
