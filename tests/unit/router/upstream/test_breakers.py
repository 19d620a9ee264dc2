"""When an upstream is left alone, for how long, and what ends that."""

from __future__ import annotations

import pytest

from router.upstream.breakers import (
    FAILURES,
    FIRST_REST_S,
    LONGEST_REST_S,
    RELAPSE_S,
    MemoryBreakers,
)
from router.upstream.retry import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def fail(breakers: MemoryBreakers, times: int = FAILURES) -> None:
    for _ in range(times):
        breakers.note("m", up=False)


def test_it_opens_after_failures_in_a_row_and_for_that_model_alone(clock: Clock) -> None:
    breakers = MemoryBreakers(clock)
    fail(breakers, FAILURES - 1)
    breakers.note("m", up=True)
    fail(breakers, FAILURES - 1)
    assert breakers.rest_s("m") == 0
    fail(breakers, 1)
    assert (breakers.rest_s("m"), breakers.rest_s("other")) == (FIRST_REST_S, 0)


def test_after_the_rest_one_goes_to_see(clock: Clock) -> None:
    breakers = MemoryBreakers(clock)
    fail(breakers)
    clock.now_s += FIRST_REST_S
    assert breakers.rest_s("m") == 0
    assert breakers.rest_s("m") > 0
    breakers.note("m", up=False)
    assert breakers.rest_s("m") == 2 * FIRST_REST_S
    clock.now_s += 2 * FIRST_REST_S
    assert breakers.rest_s("m") == 0
    breakers.note_alive("m")  # a stream has begun
    assert breakers.rest_s("m") == 0
    assert breakers.rest_s("m") == 0


def test_one_that_flaps_rests_longer_each_time_up_to_a_bound(clock: Clock) -> None:
    breakers = MemoryBreakers(clock)
    rests = []
    for _ in range(8):
        fail(breakers)
        rests.append(breakers.rest_s("m"))
        clock.now_s += rests[-1]
        assert breakers.rest_s("m") == 0
        breakers.note("m", up=True)
    assert rests[:4] == [1, 2, 4, 8]
    assert rests[-1] == LONGEST_REST_S
    clock.now_s += RELAPSE_S
    fail(breakers)
    assert breakers.rest_s("m") == FIRST_REST_S


def test_retries_are_a_share_of_the_calls() -> None:
    budget = RetryBudget()
    made = 0
    for _ in range(1000):
        budget.earn("m")
        made += sum(budget.spend("m") for _ in range(2))
    assert 200 <= made <= 222
    assert budget.spend("another")
