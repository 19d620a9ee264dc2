"""Signals of log-probabilities."""

from __future__ import annotations

import math
from typing import Any

import pytest

from policies.scoring.gate import logit_of_logprob
from router.evidence.logprobs import measure_tokens, read_signals


def tokens(*logprobs: Any, tops: tuple[float, ...] = ()) -> dict[str, Any]:
    top = [{"logprob": value} for value in tops]
    return {"content": [{"logprob": value, "top_logprobs": top} for value in logprobs]}


def test_the_mean_the_worst_and_the_worst_window() -> None:
    found = measure_tokens(tokens(*[-0.1] * 20, *[-2.0] * 8, -0.1))
    assert found["window_logprob"] == logit_of_logprob(-2.0)
    assert found["min_logprob"] == logit_of_logprob(-2.0)
    assert found["first_logprob"] == logit_of_logprob(-0.1)
    assert found["mean_logprob"] == pytest.approx(logit_of_logprob(-18.1 / 29))
    assert found["tokens"] == math.log1p(29)


def test_alternatives_give_a_margin_and_an_entropy() -> None:
    even = measure_tokens(tokens(-0.7, tops=(math.log(0.5), math.log(0.5))))
    sure = measure_tokens(tokens(-0.7, tops=(math.log(0.01), math.log(0.99))))
    assert even["least_margin"] == 0.0
    assert even["mean_entropy"] == pytest.approx(math.log(2))
    assert sure["least_margin"] == pytest.approx(math.log(99))
    assert "least_margin" not in measure_tokens(tokens(-0.7))


@pytest.mark.parametrize(
    "given",
    [None, {}, {"content": None}, {"content": []}, tokens("x"), tokens(-0.1, None), [1]],
)
def test_what_is_missing_is_not_measured(given: object) -> None:
    assert measure_tokens(given) == {}


def test_impossible_tokens_stay_finite() -> None:
    found = measure_tokens(tokens(-9999.0, float("-inf"), tops=(-9999.0, float("-inf"))))
    assert all(math.isfinite(value) for value in found.values())


def test_recorded_log_probabilities_become_log_odds() -> None:
    read = read_signals({"mean_logprob": math.log(0.5), "tokens": 3.0, "min_logprob": math.inf})
    assert read == {"mean_logprob": pytest.approx(0.0), "tokens": 3.0}
