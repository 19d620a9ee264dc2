"""A newcomer against what is in force: errors of either kind, by simulation with known truth."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from policies.promise.arms import Difference

RUNS = 400
CONFIDENCE = 0.9


def canary(
    coin: random.Random, newcomer: Callable[[int], float], in_force: Callable[[int], float],
    *, share: float, least: float, trials: int,
) -> Difference:  # fmt: skip
    """What is wrong is seen with a probability that depends on the arm, as gates make it."""
    test = Difference(margin=0.05)
    for i in range(trials):
        ours = coin.random() < share
        wrong = coin.random() < (newcomer(i) if ours else in_force(i))
        propensity = least if ours == (coin.random() < 0.7) else 1.0
        test.observe_arm(
            wrong,
            newcomer=ours,
            share=share,
            seen=coin.random() < propensity,
            propensity=propensity,
            floor=least,
        )
        if test.is_worse(CONFIDENCE):
            break
    return test


def share_worse(make: Callable[[random.Random], Difference]) -> float:
    found = [make(random.Random(seed)).is_worse(CONFIDENCE) for seed in range(RUNS)]
    return sum(found) / RUNS


# 400 runs at a true rate of .1 exceed .14 less than once in a hundred times.
NULL_CEILING = 0.14


def test_an_equal_canary_is_seldom_called_worse_though_the_traffic_drifts() -> None:
    def rate(i: int) -> float:
        return 0.05 if i < 300 else 0.4

    found = share_worse(lambda coin: canary(coin, rate, rate, share=0.05, least=0.2, trials=800))
    assert found <= NULL_CEILING


@pytest.mark.parametrize("share", [0.01, 0.05, 0.25])
def test_a_broken_canary_is_found_at_every_share(share: float) -> None:
    caught = []
    for seed in range(60):
        test = canary(
            random.Random(seed), lambda i: 0.95, lambda i: 0.1,
            share=share, least=0.2, trials=6_000,
        )  # fmt: skip
        assert test.is_worse(CONFIDENCE)
        caught.append(test.trials * share)
    # Interactions of the canary that it took.
    assert sorted(caught)[30] < 20


def pairs(coin: random.Random, newcomer: float, in_force: float, trials: int) -> Difference:
    test = Difference(margin=0.05)
    for _ in range(trials):
        hard = coin.random()  # both tend to err on the same questions
        propensity = 1.0 if coin.random() < 0.5 else 0.3
        test.observe_pair(
            hard < newcomer,
            hard < in_force,
            seen=coin.random() < propensity,
            propensity=propensity,
            floor=0.3,
        )
        if test.is_worse(CONFIDENCE) or test.is_no_worse(CONFIDENCE):
            break
    return test


def test_in_the_shadow_equal_ones_are_shown_to_be_no_worse() -> None:
    tests = [pairs(random.Random(seed), 0.1, 0.1, 1_000) for seed in range(40)]
    assert all(test.is_no_worse(CONFIDENCE) for test in tests)


def test_what_is_worse_by_the_margin_is_seldom_shown_to_be_no_worse() -> None:
    tests = [pairs(random.Random(seed), 0.15, 0.1, 600) for seed in range(RUNS)]
    assert sum(test.is_no_worse(CONFIDENCE) for test in tests) / RUNS <= NULL_CEILING


def test_it_is_the_same_after_it_was_stored() -> None:
    test = pairs(random.Random(1), 0.2, 0.1, 50)
    again = Difference.restore(test.state())
    for one in (test, again):
        one.observe_pair(True, False, seen=True, propensity=0.5, floor=0.3)
    assert again.state() == test.state()
    assert again.estimate() == test.estimate()


@pytest.mark.parametrize("change", [{"worse": [0.0]}, {"margin": 0.0}, {"trials": None}])
def test_what_was_not_stored_by_it_is_refused(change: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        Difference.restore({**Difference().state(), **change})


def test_what_cannot_be_is_refused() -> None:
    test = Difference()
    with pytest.raises(ValueError, match="share"):
        test.observe_arm(True, newcomer=True, share=1.0)
    with pytest.raises(ValueError, match="floor"):
        test.observe_pair(True, True, seen=True, propensity=0.1, floor=0.2)
    with pytest.raises(ValueError, match="no test"):
        Difference(margin=0.0)
