"""The stop rule and the number of calls, with answers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from distill.next.payback import Gain, Spared, Terms, count_calls, find_gain, weigh

TERMS = Terms(
    per_day=1_000.0,
    teacher_usd=0.001,
    cycle_usd=1.0,
    shelf_days=30.0,  # all of it is worth $30
    now=0.5,
    gain=Gain(expected=0.1, low=0.05, high=0.15),
)


def test_the_next_cycle_takes_the_same_part_of_what_is_left() -> None:
    gain = find_gain(Spared(interactions=998, spared=199), Spared(interactions=998, spared=799), 2)
    # Adjusted: 200 and 800 of 1,000, so .8 was left and .2 is: a half of it went with each cycle.
    assert gain.expected == pytest.approx(0.1)
    # The log of the ratio has variance .00016 / .8² + .00016 / .2² = .00425.
    half = 1.959964 * math.sqrt(0.00425)
    assert gain.low == pytest.approx(0.2 * (1 - 0.5 * math.exp(half / 2)))
    assert gain.high == pytest.approx(0.2 * (1 - 0.5 * math.exp(-half / 2)))


def test_a_share_that_fell_is_expected_to_fall() -> None:
    gain = find_gain(Spared(interactions=998, spared=599), Spared(interactions=998, spared=499), 1)
    assert gain.expected == pytest.approx(0.5 * (1 - 0.5 / 0.4))


def test_none_of_few_is_not_certain() -> None:
    gain = find_gain(Spared(interactions=98, spared=0), Spared(interactions=98, spared=0), 1)
    assert gain.expected == 0.0
    assert 0.02 < gain.high < 1.0
    everything = Spared(interactions=98, spared=98)
    assert 0.0 < find_gain(everything, everything, 1).high < 0.02


@pytest.mark.parametrize(("interactions", "known"), [(99, False), (100, True)])
def test_a_share_is_told_from_a_hundred(interactions: int, known: bool) -> None:
    assert Spared(interactions=interactions, spared=0).known is known


@pytest.mark.parametrize(
    ("cycle_usd", "pays"), [(1.0, "yes"), (1.51, "unknown"), (4.49, "unknown"), (4.51, "no")]
)
def test_it_pays_where_the_whole_interval_does(cycle_usd: float, pays: str) -> None:
    found = weigh(replace(TERMS, cycle_usd=cycle_usd))
    assert found.pays == pays
    assert found.saving_usd == pytest.approx(3.0)
    assert found.saving_low_usd == pytest.approx(1.5)
    assert found.saving_high_usd == pytest.approx(4.5)
    assert found.needed == pytest.approx(cycle_usd / 30)


def test_where_too_little_is_left_it_does_not_pay_whatever_the_gain() -> None:
    found = weigh(replace(TERMS, now=0.98, gain=None))
    assert (found.pays, found.saving_high_usd) == ("no", pytest.approx(0.6))
    assert "would save $0.60 more" in found.sentence


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("per_day", "--per-day"),
        ("teacher_usd", "give its model a price"),
        ("gain", "two releases must each have had 100 interactions"),
    ],
)
def test_what_is_not_known_is_said_and_not_made_up(missing: str, said: str) -> None:
    found = weigh(replace(TERMS, **{missing: None}))
    assert found.pays == "unknown"
    assert said in found.sentence
    assert found.saving_usd is None


def test_no_traffic_does_not_pay() -> None:
    assert weigh(replace(TERMS, per_day=0.0)).pays == "no"


@pytest.mark.parametrize(
    ("answers", "have", "precision", "calls"),
    [(20, 5, 0.5, 30), (20, 5, 1.0, 15), (20, 20, 0.1, 0), (20, 30, 0.1, 0), (20, 17, 0.3, 10)],
)
def test_calls(answers: int, have: int, precision: float, calls: int) -> None:
    assert count_calls(answers, have, precision) == calls
