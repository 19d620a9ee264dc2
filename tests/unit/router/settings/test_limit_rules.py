"""Budgets and scopes that can't be meant are refused with the line."""

from __future__ import annotations

import pytest

from router.settings.check import check_settings

MODELS = 'models: {teacher: {upstream: "http://h/v1", model: m, price: {input: 1, output: 1}}}\n'
KEYS = "keys: [{name: shop, key_env: K, budget: {usd: 2, per: day}}]\nworkloads: [{name: a}]\n"


def errors(text: str) -> list[tuple[str, str]]:
    found = check_settings(text, {"K": "k"})
    return [(one.key, one.message) for one in found if one.severity == "error"]


@pytest.mark.parametrize(
    ("budget", "where", "said"),
    [
        ("{usd: 1, workload: z}", "budgets[0].workload", "z is no workload of this file"),
        ("{usd: 1, key: z}", "budgets[0].key", "z is no key of this file"),
        ("{usd: 1, key: shop, workload: a}", "budgets[0].key", "a budget is of one of them"),
        ("{usd: 1, key: shop}", "budgets[0]", "subject of the budget on line 2"),
        ("{usd: 1, key: [shop]}", "budgets[0].key", "must be text"),
        ("{per: day}", "budgets[0].usd", "missing"),
        ("{usd: 1, per: year}", "budgets[0].per", "hour"),
    ],
)
def test_a_budget_is_of_something_that_is_there(budget: str, where: str, said: str) -> None:
    ((key, message),) = errors(MODELS + KEYS + f"budgets: [{budget}]\n")
    assert key == where
    assert said in message


def test_two_budgets_of_the_same_for_the_same_period_are_one_too_many() -> None:
    good = (
        MODELS
        + KEYS
        + "budgets: [{usd: 9, per: month, key: shop}, {usd: 1}, {usd: 2, per: week}]\n"
    )
    assert errors(good) == []
    assert [key for key, _ in errors(good[:-2] + ", {usd: 3}]\n")] == ["budgets[3]"]


def test_whoever_may_answer_under_a_budget_needs_a_price() -> None:
    more = MODELS.replace("}}}", '}}, other: {upstream: "http://i/v1", model: n}}')
    assert errors(more) == []
    ((key, message),) = errors(more + "budgets: [{usd: 1}]\n")
    assert (key, message) == ("budgets[0]", "needs a price of the model other: give it one")


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        ("chat", "must be endpoint:, model: or workload:"),
        ("model:", "must be endpoint:, model: or workload:"),
        ("endpoint:chats", "fits no endpoint: use chat/completions"),
    ],
)
def test_a_scope_that_nothing_fits_is_refused(scope: str, said: str) -> None:
    ((key, message),) = errors(MODELS + f"keys: [{{name: a, key_env: K, scopes: ['{scope}']}}]\n")
    assert key == "keys[0].scopes[0]"
    assert said in message


def test_scopes_may_be_globs() -> None:
    scopes = "[endpoint:chat/*, endpoint:embeddings, model:auto, 'workload:support-*']"
    assert errors(MODELS + f"keys: [{{name: a, key_env: K, scopes: {scopes}}}]\n") == []
