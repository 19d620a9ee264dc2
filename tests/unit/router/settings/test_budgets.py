from __future__ import annotations

import pytest

from router.settings.check import check_settings
from tests.unit.router.settings.test_check import TEACHER, only_error

UNPRICED = "".join(TEACHER.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    ("budget", "key", "message"),
    [
        ("{usd_per_interaction: 0}", "usd_per_interaction", "must be more than 0"),
        ("{usd_per_day: -1}", "usd_per_day", "must be more than 0"),
        ("{}", "budget", "usd_per_interaction or usd_per_day"),
        ("{usd_per_interaction: 1, usd_per_day: 1}", "budget", "not both"),
    ],
)
def test_a_budget_is_one_amount(budget: str, key: str, message: str) -> None:
    text = TEACHER + f"workloads: [{{name: a, policy: budget, budget: {budget}}}]\n"
    found = only_error(text)
    assert found.key.endswith(key)
    assert message in found.message


@pytest.mark.parametrize(
    ("teacher", "workload", "message"),
    [
        (TEACHER, "policy: budget", "budget needs a budget"),
        (
            UNPRICED,
            "policy: budget, budget: {usd_per_day: 1}",
            "needs a price of the model teacher",
        ),
    ],
)
def test_the_policy_budget_needs_money_and_a_price(
    teacher: str, workload: str, message: str
) -> None:
    found = only_error(teacher + f"workloads: [{{name: a, {workload}}}]\n")
    assert found.key == "workloads[0].policy"
    assert message in found.message


@pytest.mark.parametrize(
    ("workload", "message"),
    [
        ("policy: budget", None),
        ("policy: budget, promise: {agreement: 0.97}", "gives way to the promise"),
        ("promise: {agreement: 0.97}", "gives way to the promise"),
        ("policy: teacher", "plays no part under policy teacher"),
    ],
)
def test_it_is_said_what_gives_way(workload: str, message: str | None) -> None:
    text = TEACHER + f"workloads: [{{name: a, {workload}, budget: {{usd_per_day: 1}}}}]\n"
    found = [p.message for p in check_settings(text, {}) if p.key == "workloads[0].budget"]
    assert [message in text for text in found if message] == [True] * (message is not None)
    assert len(found) == (message is not None)
