from __future__ import annotations

import math

import numpy as np
import pytest

from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.ledger import Ledger
from policies.promise.outlook import (
    LEAST_TRIALS,
    Forecast,
    bound_rate,
    forecast,
    is_release_too_wrong,
)
from policies.types import Trial

RIGHT = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
WRONG = Trial(level=0, seen=True, wrong=True, propensity=1.0, floor=1.0)
TERMS = Terms(agreement=0.95)


def look(certificate: Certificate, recent: list[Trial], goal: int = 0) -> Forecast | None:
    return forecast(certificate, recent, goal, np.random.default_rng(1))


def after(*trials: Trial, terms: Terms = TERMS) -> Certificate:
    certificate = Certificate(terms)
    for trial in trials:
        certificate.observe(trial)
    return certificate


def count_until_accepted(certificate: Certificate, level: int = 0) -> int:
    count = 0
    while (certificate.level() if certificate.level() is not None else -1) < level:
        certificate.observe(RIGHT)
        count += 1
    return count


def test_the_low_end_is_what_it_takes_without_an_error() -> None:
    trials = [RIGHT] * 40
    found = look(after(*trials), trials)
    assert found is not None
    needed = count_until_accepted(after(*trials))
    assert found.low == needed
    assert found.low <= found.trials
    assert found.checks == found.trials


def test_growth_adds_up_to_the_wealth() -> None:
    trials = [RIGHT, WRONG, Trial(level=3, seen=False, wrong=True, propensity=0.2, floor=0.2)]
    certificate, sum_of_growth = Certificate(TERMS), 0.0
    for trial in trials:
        sum_of_growth = sum_of_growth + certificate.growth(trial)
        certificate.observe(trial)
    np.testing.assert_allclose(sum_of_growth, certificate.wealth_by_bet())
    mixed = np.logaddexp.reduce(certificate.wealth_by_bet()) - math.log(2)
    np.testing.assert_allclose(mixed, certificate.wealth())


def test_few_trials_tell_nothing() -> None:
    few = [RIGHT] * (LEAST_TRIALS - 1)
    assert look(after(*few), few) is None
    assert look(after(*few, RIGHT), [*few, RIGHT]) is not None


def test_at_too_many_errors_no_number_is_told() -> None:
    bad = [RIGHT, RIGHT, RIGHT, WRONG] * 15
    assert look(after(*bad), bad) is None
    worst = [WRONG] * 40
    assert look(after(*worst), worst) is None


def test_more_errors_take_more_trials() -> None:
    clean, dirty = [RIGHT] * 100, [RIGHT] * 99 + [WRONG]
    start = after(*[RIGHT] * 20)
    told = [look(start, trials) for trials in (clean, dirty)]
    assert told[0] is not None
    assert told[1] is not None
    assert told[0].trials < told[1].trials


def test_an_open_end_is_said() -> None:
    shaky = [RIGHT] * 38 + [WRONG, WRONG]
    found = look(after(*shaky, terms=Terms(agreement=0.9)), shaky)
    assert found is not None
    assert found.high is None or found.high > 2 * found.trials


def test_what_isnt_seen_is_no_check() -> None:
    proven = after(*[RIGHT] * 100)
    allowed = proven.level()
    assert allowed is not None
    seen = Trial(level=0, seen=True, wrong=False, propensity=0.2, floor=0.2)
    unseen = Trial(level=0, seen=False, wrong=False, propensity=0.2, floor=0.2)
    found = look(proven, [seen, unseen, unseen, unseen] * 20, allowed + 1)
    assert found is not None
    assert found.level == allowed + 1
    assert found.checks == math.ceil(found.trials / 4)


def test_every_level_up_to_the_goal_must_be_accepted() -> None:
    trials = [RIGHT] * 40
    near, far = look(after(*trials), trials), look(after(*trials), trials, len(LEVEL_MULTIPLES) - 1)
    assert near is not None
    assert far is not None
    assert near.trials < far.trials
    assert far.low >= count_until_accepted(after(*trials), len(LEVEL_MULTIPLES) - 1) - 1


def test_the_same_seed_says_the_same() -> None:
    trials = [RIGHT] * 60 + [WRONG]
    assert look(after(*trials), trials) == look(after(*trials), trials)


@pytest.mark.parametrize("number", [1, 5])
def test_a_release_that_errs_is_found_out_later_if_it_comes_later(number: int) -> None:
    def count(release_number: int) -> int:
        return next(
            n for n in range(1, 200) if is_release_too_wrong(TERMS, [WRONG] * n, release_number)
        )

    assert count(1) <= count(number) < 20


def test_what_the_strictest_level_leaves_to_the_teacher_is_no_error() -> None:
    lax = Trial(level=1, seen=True, wrong=True, propensity=1.0, floor=1.0)
    failed = Trial(level=0, seen=False, wrong=True, propensity=1.0, floor=1.0, failed=True)
    assert not is_release_too_wrong(TERMS, [lax] * 500, 1)
    assert not is_release_too_wrong(TERMS, [failed] * 500, 1)
    served = Terms(agreement=0.95, over="served")
    assert is_release_too_wrong(served, [lax, WRONG] * 30, 1)


def test_bounds_hold_the_share_that_was_seen() -> None:
    assert bound_rate(0, 0, 0.95) == (0.0, 1.0)
    low, high = bound_rate(0, 10, 0.95)
    assert low == 0.0
    assert 0.3 < high < 0.5
    assert bound_rate(10, 10, 0.95) == pytest.approx((1.0 - high, 1.0))
    low, high = bound_rate(80, 100, 0.95)
    assert low < 0.8 < high
    assert high - low > sum(abs(one - 0.8) for one in bound_rate(800, 1000, 0.95))


def test_what_a_ledger_misses_is_exact() -> None:
    ledger = Ledger(Terms(agreement=0.95))
    missing = ledger.missing()
    assert missing is not None
    for left in range(missing, 0, -1):
        assert not ledger.can_serve()
        assert ledger.missing() == left
        ledger.observe(RIGHT)
    assert ledger.can_serve()
    assert ledger.missing() == 0


@pytest.mark.parametrize("agreement", [0.9, 0.95, 0.99, 0.997, 0.998, 0.999])
def test_a_ledger_that_never_starts_says_so(agreement: float) -> None:
    ledger = Ledger(Terms(agreement=agreement))
    never = ledger.missing() is None
    for _ in range(20_000):
        ledger.observe(RIGHT)
    assert ledger.can_serve() is not never
