"""Checks of arithmetic and of tool calls, on drafts whose faults are known."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.types import ToolCall
from router.evidence.calls import check_calls
from router.evidence.worked import check_solution, equations, evaluate

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "dict",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["C", "F"]},
        },
        "required": ["city"],
    },
}


def faults(question: str, *calls: tuple[str, Any]) -> dict[str, float]:
    made = tuple(ToolCall(name=name, arguments=json.dumps(value)) for name, value in calls)
    return check_calls(question, {WEATHER["name"]: WEATHER}, made)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 * 3+4", 10),
        ("$1,200 / 4", 300),
        ("50% * 80", 40),
        ("3 x 4", 12),
        ("(1 + 2) × 3", 9),
        ("7 ÷ 2", 3.5),
        ("1 / 0", None),
        ("2 ** 9", None),
        ("__import__('os')", None),
        ("3 +", None),
    ],
)
def test_only_plain_arithmetic_is_evaluated(expression: str, value: float | None) -> None:
    assert evaluate(expression) == (None if value is None else pytest.approx(value))


def test_equations_marked_and_plain() -> None:
    draft = "He has 2*3 = <<2*3=6>>6 apples. Then 6 + 4 = 11 in all."
    assert equations(draft) == [("2*3", 6.0), ("6 + 4", 11.0)]


def test_sound_solution_has_no_faults() -> None:
    found = check_solution("Ann has 2 bags of 3.", "Ann has 2 * 3 = <<2*3=6>>6.\n#### 6")
    for name in (
        "d_wrong",
        "d_no_final",
        "d_final_not_result",
        "d_final_not_last",
        "d_unused",
        "d_from_nowhere",
        "d_no_equations",
    ):
        assert found[name] == 0, name


@pytest.mark.parametrize(
    ("draft", "fault"),
    [
        ("2 * 3 = <<2*3=7>>7.\n#### 7", "d_wrong"),
        ("2 * 3 = <<2*3=6>>6.", "d_no_final"),
        ("2 * 3 = <<2*3=6>>6.\n#### 9", "d_final_not_result"),
        ("2 * 3 = <<2*3=6>>6.\n#### 9", "d_final_not_last"),
        ("2 * 2 = <<2*2=4>>4.\n#### 4", "d_unused"),
        ("2 * 17 = <<2*17=34>>34.\n#### 34", "d_from_nowhere"),
        ("However, it can't be known.\n#### 6", "d_hedges"),
        ("It is six.\n#### 6", "d_no_equations"),
        ("3 / 2 = <<3/2=1.5>>1.5.\n#### 1.5", "d_final_fraction"),
    ],
)
def test_faults_of_a_solution_are_seen(draft: str, fault: str) -> None:
    assert check_solution("Ann has 2 bags of 3.", draft)[fault] >= 1


def test_sound_call_has_no_faults() -> None:
    found = faults("Weather in Rome for 3 days?", ("get_weather", {"city": "Rome", "days": 3}))
    for name in (
        "unknown_tool",
        "unreadable",
        "missing",
        "unknown_argument",
        "wrong_type",
        "not_in_enum",
        "made_up",
        "no_call",
        "repeated",
        "numbers_forgotten",
    ):
        assert found[name] == 0, name


@pytest.mark.parametrize(
    ("name", "arguments", "fault"),
    [
        ("get_whether", {"city": "Rome"}, "unknown_tool"),
        ("get_weather", [1], "unreadable"),
        ("get_weather", {"days": 3}, "missing"),
        ("get_weather", {"city": "Rome", "hours": 3}, "unknown_argument"),
        ("get_weather", {"city": "Rome", "days": "3"}, "wrong_type"),
        ("get_weather", {"city": "Rome", "days": True}, "wrong_type"),
        ("get_weather", {"city": "Rome", "unit": "K"}, "not_in_enum"),
        ("get_weather", {"city": "Paris"}, "made_up"),
        ("get_weather", {"city": "Rome", "days": 9}, "made_up"),
        ("get_weather", {"city": "Rome"}, "numbers_forgotten"),
        ("get_weather", {"city": "Rome"}, "optional_named"),
    ],
)
def test_faults_of_a_call_are_seen(name: str, arguments: Any, fault: str) -> None:
    assert faults("Weather in Rome for 3 days?", (name, arguments))[fault] >= 1


def test_names_of_features_do_not_depend_on_the_draft() -> None:
    none = faults("Weather in Rome?")
    one = faults("Weather in Rome?", ("get_weather", {"city": "Rome"}))
    assert list(none) == list(one)
    assert none["no_call"] == 1
