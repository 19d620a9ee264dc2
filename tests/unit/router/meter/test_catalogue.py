from __future__ import annotations

from decimal import Decimal

import pytest

from router.meter.catalogue import find_rates
from router.settings.check import examine_settings

pytest.importorskip("genai_prices")


def test_a_known_model_at_its_providers_address() -> None:
    rates = find_rates("gpt-4.1", "https://api.openai.com/v1")
    assert rates is not None
    assert (rates.input, rates.output) == (Decimal(2), Decimal(8))
    assert rates.cached_input == Decimal("0.5")


@pytest.mark.parametrize(
    ("model", "upstream"),
    [
        ("gpt-4.1", "http://127.0.0.1:9/v1"),  # whoever that is
        ("gpt-4.1", "http://localhost/v1"),
        ("gpt-4.1", "https://api.example.com/v1"),
        ("big-70b", "https://api.openai.com/v1"),
        ("claude-sonnet-4-5", "https://api.anthropic.com/v1"),  # by the prompt's length
    ],
)
def test_what_is_not_known_for_sure_stays_unknown(model: str, upstream: str) -> None:
    assert find_rates(model, upstream) is None


def test_a_configuration_without_a_price_takes_it_and_says_so() -> None:
    text = """
models:
  teacher: {upstream: 'https://api.openai.com/v1', model: gpt-4.1, distillation: denied}
  own: {upstream: 'https://api.openai.com/v1', model: gpt-4.1, price: {input: 1, output: 1}}
workloads:
  - {name: w, policy: budget, budget: {usd_per_interaction: 0.01}}
"""
    settings, problems = examine_settings(text, {})
    assert settings is not None
    taken, own = settings.models["teacher"].price, settings.models["own"].price
    assert taken is not None
    assert own is not None
    assert (taken.output, own.output) == (Decimal(8), Decimal(1))
    assert [p.sentence for p in problems if p.key == "models.teacher.price"] == [
        "models.teacher.price is not given: 2 USD in and 8 USD out per million tokens are taken"
        " from genai-prices; write them down if they are yours"
    ]
