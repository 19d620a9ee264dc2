"""Which budgets a request counts against."""

from __future__ import annotations

import pytest

from router.limits.budgets import find_budgets, list_budgets
from router.settings.check import examine_settings
from router.settings.model import Settings

TEXT = """
models: {teacher: {upstream: "http://h/v1", model: m, price: {input: 1, output: 1}}}
workloads: [{name: a}, {name: b}]
keys:
  - {name: shop, key_env: K, budget: {usd: 2, per: day}}
  - {name: bank, key_env: L}
budgets:
  - {usd: 50, per: month}
  - {usd: 5, per: day}
  - {usd: 1, per: hour, workload: a}
  - {usd: 20, per: month, key: shop}
"""


def read(text: str) -> Settings:
    settings, problems = examine_settings(text, {"K": "k", "L": "l"})
    assert settings is not None, problems
    return settings


def names(key: str | None, workload: str | None) -> list[tuple[str, str]]:
    settings = read(TEXT)
    found = next((one for one in settings.keys if one.name == key), None)
    return [(one.name, one.per) for one in find_budgets(settings, found, lambda: workload)]


ALL = [("all:", "month"), ("all:", "day")]


@pytest.mark.parametrize(
    ("key", "workload", "expected"),
    [
        ("shop", "a", [("key:shop", "day"), *ALL, ("workload:a", "hour"), ("key:shop", "month")]),
        ("shop", None, [("key:shop", "day"), *ALL, ("key:shop", "month")]),
        ("bank", "b", ALL),
        (None, "a", [*ALL, ("workload:a", "hour")]),
    ],
)
def test_a_request_counts_against_its_keys_its_workloads_and_everybodys(
    key: str | None, workload: str | None, expected: list[tuple[str, str]]
) -> None:
    assert names(key, workload) == expected


def test_the_workload_is_looked_for_only_where_one_has_a_budget() -> None:
    settings = read(TEXT.replace(", workload: a", ""))

    def never() -> str:
        raise AssertionError("nobody needs it")

    assert len(find_budgets(settings, None, never)) == 3


def test_all_are_listed_and_a_caller_is_not_told_the_operators_sums() -> None:
    said = {one.name: one.said for one in list_budgets(read(TEXT)) if one.per != "day"}
    assert said == {
        "all:": "The budget for this month of the gateway",
        "workload:a": "The budget for this hour of the workload a",
        "key:shop": "The budget of 20 USD a month of the key shop",
    }
