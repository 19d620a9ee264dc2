"""Losses from configuration: defaults filled in, mistakes named."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from distill.train.losses.spec import LossSpecError, parse_losses


def test_defaults_are_filled_in_and_read_again() -> None:
    spec = parse_losses({"jsd": {"beta": 0.1}, "nll": 0.5})
    assert [term.name for term in spec.terms] == ["jsd", "nll"]
    assert spec.terms[0].options == {"weight": 1, "temperature": 1, "min_mass": 0.5, "beta": 0.1}
    assert spec.terms[1].weight == 0.5
    assert parse_losses(spec.as_mapping()) == spec


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no loss is named"),
        ({"kl": 1.0}, "unknown loss 'kl'"),
        ({"nll": {"beta": 1}}, "nll has no option 'beta'"),
        ({"jsd": {"beta": 2}}, r"jsd.beta must lie between 0 and 1, not 2"),
        ({"jsd": {"beta": "half"}}, "jsd.beta must be a number"),
        ({"nll": float("nan")}, "nll.weight must be a number"),
        ({"nll": True}, "nll.weight must be a number"),
        ({"nll": "much"}, "nll needs a weight or a mapping"),
        ({"nll": 0, "dpo": 0}, "every loss has the weight 0"),
        ({"nll": -1}, "nll.weight must lie"),
    ],
)
def test_a_mistake_is_named(given: Mapping[str, object], message: str) -> None:
    with pytest.raises(LossSpecError, match=message):
        parse_losses(given)
