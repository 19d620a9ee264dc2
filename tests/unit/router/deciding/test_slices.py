"""Which slices a request belongs to, and what is promised of each."""

from __future__ import annotations

from typing import Any

import pytest

from router.auth import Caller
from router.deciding.slices import find_slices, name_evidence, terms_of_slice, terms_of_whole
from router.settings.model import PromiseSettings, WorkloadSettings
from router.settings.slices import SliceSettings

SHOP = Caller(key_name="shop-eu", tenant="acme", train_on=True)
BODY: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You sort customer messages."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "How can I help?"},
        {"role": "user", "content": "I want a REFUND now"},
    ],
    "metadata": {"plan": "gold"},
}


def make_slice(match: Any, **values: Any) -> SliceSettings:
    return SliceSettings.model_validate({"name": "s", "match": match, **values})


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ("*refund*", True),
        ("*hello*", False),
        ({"user_message": ["*return*", "*refund*"]}, True),
        ({"min_chars": 19}, True),
        ({"min_chars": 20}, False),
        ({"max_chars": 19}, True),
        ({"max_chars": 18}, False),
        ({"min_turns": 2}, True),
        ({"min_turns": 3}, False),
        ({"system_prompt": "You sort*"}, True),
        ({"system_prompt": "you sort*"}, False),
        ({"key": "shop-*"}, True),
        ({"key": "shop"}, False),
        ({"tenant": ["acme", "other"]}, True),
        ({"tenant": "other"}, False),
        ({"metadata": {"plan": "go*"}}, True),
        ({"metadata": {"plan": "free"}}, False),
        ({"metadata": {"region": "*"}}, False),
        ({"user_message": "*refund*", "tenant": "other"}, False),
    ],
)
def test_every_condition_must_be_met(match: Any, fits: bool) -> None:
    settings = WorkloadSettings(name="w", slices=(make_slice(match),))
    assert bool(find_slices(settings, BODY, SHOP)) is fits


def test_requests_without_what_is_matched_are_of_no_slice() -> None:
    settings = WorkloadSettings(name="w", slices=(make_slice({"metadata": {"plan": "gold"}}),))
    for metadata in ("gold", None, ["plan"]):
        assert find_slices(settings, {"messages": [], "metadata": metadata}, SHOP) == ()
    assert find_slices(None, BODY, SHOP) == ()


def test_the_allowed_chance_of_a_broken_promise_is_shared_by_all_accounts() -> None:
    promise = PromiseSettings(agreement=0.95, confidence=0.94)
    slices = (make_slice("a"), make_slice("b", agreement=0.99))
    whole = terms_of_whole(promise, slices)
    parts = [terms_of_slice(one, promise, slices) for one in slices]
    assert [one.agreement for one in (whole, *parts)] == [0.95, 0.95, 0.99]
    assert sum(1.0 - one.confidence for one in (whole, *parts)) == pytest.approx(0.06)
    assert terms_of_whole(promise, ()).confidence == promise.confidence


def test_evidence_for_a_slice_is_none_for_what_another_pattern_matches() -> None:
    assert name_evidence(make_slice("a"), "k") == name_evidence(make_slice(["a"][0]), "k")
    assert name_evidence(make_slice("a"), "k") != name_evidence(make_slice("b"), "k")
