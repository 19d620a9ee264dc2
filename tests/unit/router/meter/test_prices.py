from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

import pytest

from router.meter.prices import Rates as PriceRates
from router.meter.prices import TeacherCostEstimator, Usage, cost_of


@dataclass(frozen=True)
class Rates:
    input: Decimal | None = None
    cached_input: Decimal | None = None
    output: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    usd_per_request: Decimal | None = None


TOKENS = Rates(input=Decimal("2.50"), cached_input=Decimal("1.25"), output=Decimal("10.00"))


def usage(prompt: int, completion: int, cached: int = 0) -> Usage:
    return Usage(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)


def test_usage_is_read_from_an_openai_answer() -> None:
    body = {
        "prompt_tokens": 120,
        "completion_tokens": 7,
        "total_tokens": 127,
        "prompt_tokens_details": {"cached_tokens": 100, "audio_tokens": 0},
    }
    assert Usage.from_openai(body) == usage(120, 7, 100)


@pytest.mark.parametrize("details", [None, {}, {"cached_tokens": None}])
def test_no_cached_tokens_reported_means_none_were(details: object) -> None:
    body = {"prompt_tokens": 3, "completion_tokens": 0, "prompt_tokens_details": details}
    assert Usage.from_openai(body) == usage(3, 0)


@pytest.mark.parametrize(
    "bad",
    [
        None,
        {},
        [],
        "usage",
        {"prompt_tokens": 3},
        {"completion_tokens": 3},
        {"prompt_tokens": None, "completion_tokens": 3},
        {"prompt_tokens": "3", "completion_tokens": 3},
        {"prompt_tokens": 3.0, "completion_tokens": 3},
        {"prompt_tokens": True, "completion_tokens": 3},
        {"prompt_tokens": -1, "completion_tokens": 3},
        {"prompt_tokens": 10**30, "completion_tokens": 3},
        {"prompt_tokens": 3, "completion_tokens": 3, "prompt_tokens_details": 5},
        {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
        {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": "1"},
        },
    ],
)
def test_bad_usage_is_unknown_and_never_zero(bad: Any) -> None:
    assert Usage.from_openai(bad) is None


@pytest.mark.parametrize(
    ("used", "rates", "expected"),
    [
        (usage(1_000_000, 0), TOKENS, "2.5"),
        (usage(0, 1_000_000), TOKENS, "10"),
        (usage(1_000_000, 0, 1_000_000), TOKENS, "1.25"),
        (usage(1000, 10, 400), TOKENS, "0.0021"),
        (usage(1, 0), Rates(input=Decimal("0.000001"), output=Decimal(1)), "0.000000000001"),
        (usage(1000, 0, 400), Rates(input=Decimal(1), output=Decimal(1)), "0.001"),
        (usage(0, 0), TOKENS, "0"),
        (None, Rates(usd_per_request=Decimal("0.01")), "0.01"),
        (usage(5, 5), Rates(usd_per_request=Decimal("0.01")), "0.01"),
        (usage(1_000_000, 0), Rates(input=Decimal(2), usd_per_request=Decimal("0.01")), "2.01"),
        (usage(5, 5), Rates(input=Decimal(0), output=Decimal(0)), "0"),
    ],
)
def test_cost(used: Usage | None, rates: Rates, expected: str) -> None:
    cost = cost_of(used, rates)
    assert cost == Decimal(expected)
    assert cost is not None
    assert cost.as_tuple().exponent == -12


@pytest.mark.parametrize(
    ("used", "rates"),
    [
        (None, None),
        (usage(5, 5), None),
        (None, TOKENS),
        (usage(5, 5), Rates()),
        (None, Rates(input=Decimal(1), usd_per_request=Decimal("0.01"))),
        (usage(5, 5), Rates(input=Decimal(1))),
        (usage(5, 5), Rates(output=Decimal(1))),
        (usage(10**9, 0), Rates(input=Decimal(10**6))),
    ],
)
def test_what_cannot_be_known_is_none(used: Usage | None, rates: Rates | None) -> None:
    assert cost_of(used, rates) is None


def test_cost_does_not_depend_on_the_callers_context() -> None:
    with localcontext(prec=4):
        assert cost_of(usage(123_456_789, 0), TOKENS) == Decimal("308.6419725")


def test_estimate_is_the_mean_of_the_workloads_own_answers() -> None:
    estimator = TeacherCostEstimator()
    assert estimator.estimate("a") is None
    estimator.observe("a", Decimal("0.01"))
    estimator.observe("a", Decimal("0.02"))
    estimator.observe("b", Decimal("5"))
    assert estimator.estimate("a") == Decimal("0.015")
    assert estimator.estimate("c") is None


def test_estimate_goes_on_from_a_seed() -> None:
    estimator = TeacherCostEstimator()
    estimator.seed("a", Decimal("0.03"), 3)
    estimator.observe("a", Decimal("0.05"))
    assert estimator.estimate("a") == Decimal("0.02")


def test_estimator_forgets_the_workload_that_was_used_longest_ago() -> None:
    estimator = TeacherCostEstimator(capacity=2)
    estimator.observe("old", Decimal(1))
    estimator.observe("used", Decimal(2))
    assert estimator.estimate("old") == 1
    estimator.observe("new", Decimal(3))
    assert estimator.estimate("used") is None
    assert estimator.estimate("old") == 1
    assert estimator.estimate("new") == 3


SPOKEN = Rates(
    input=Decimal(2),
    cached_input=Decimal(1),
    output=Decimal(10),
    reasoning=Decimal(20),
    audio_input=Decimal(40),
    audio_output=Decimal(80),
)


def test_reasoning_and_audio_are_priced_apart() -> None:
    body = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "prompt_tokens_details": {"cached_tokens": 300, "audio_tokens": 200},
        "completion_tokens_details": {"reasoning_tokens": 60, "audio_tokens": 10},
    }
    found = Usage.from_openai(body)
    # 500 plain, 300 cached, 200 audio in; 30 plain, 60 reasoning, 10 audio out.
    expected = 500 * 2 + 300 * 1 + 200 * 40 + 30 * 10 + 60 * 20 + 10 * 80
    assert cost_of(found, SPOKEN) == Decimal(expected) / 1_000_000


def test_audio_without_a_rate_is_unknown_and_reasoning_costs_as_output() -> None:
    heard = Usage(prompt_tokens=10, completion_tokens=1, audio_prompt_tokens=3)
    assert cost_of(heard, TOKENS) is None
    thought = Usage(prompt_tokens=0, completion_tokens=10, reasoning_tokens=10)
    assert cost_of(thought, TOKENS) == Decimal("0.0001")


def test_cached_audio_is_billed_once_as_audio() -> None:
    both = Usage(prompt_tokens=10, completion_tokens=0, cached_tokens=8, audio_prompt_tokens=5)
    assert cost_of(both, SPOKEN) == Decimal(5 * 40 + 5 * 1) / 1_000_000


@pytest.mark.parametrize(
    "details",
    [
        {"reasoning_tokens": 8},
        {"reasoning_tokens": 4, "audio_tokens": 4},
        {"audio_tokens": -1},
        {"reasoning_tokens": "2"},
    ],
)
def test_parts_that_exceed_the_whole_make_no_sense(details: dict[str, Any]) -> None:
    body = {"prompt_tokens": 3, "completion_tokens": 7, "completion_tokens_details": details}
    assert Usage.from_openai(body) is None


def test_rates_come_back_exactly() -> None:
    assert PriceRates.from_json(PriceRates.of(SPOKEN).to_json()) == PriceRates.of(SPOKEN)  # type: ignore[union-attr]
    assert PriceRates.of(None) is None
    with pytest.raises(ValueError, match="no rates"):
        PriceRates.from_json({"input": "dear"})
    with pytest.raises(ValueError, match="no rates"):
        PriceRates.from_json({"inptu": "1"})
