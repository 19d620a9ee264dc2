"""Which further models a ladder may have."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.settings.check import examine_settings

SERVER = {"upstream": "http://127.0.0.1:9/v1", "model": "m", "price": {"input": 1, "output": 1}}
MODELS = {"teacher": SERVER, "mid": SERVER}


def problems_of(severity: str, rungs: Any, **workload: Any) -> list[str]:
    one = {"name": "w", "rungs": rungs, **workload}
    _, problems = examine_settings(json.dumps({"models": MODELS, "workloads": [one]}), {})
    return [one.sentence for one in problems if one.severity == severity]


@pytest.mark.parametrize(
    "policy",
    [
        {"promise": {"agreement": 0.9}},
        {"promise": {"agreement": 0.9, "guarantee": True}},
        {"promise": {"agreement": 0.9}, "policy": "budget", "budget": {"usd_per_day": 1}},
        {"policy": "threshold", "threshold": 0.8},
    ],
)
def test_a_policy_that_judges_each_draft_takes_rungs(policy: dict[str, Any]) -> None:
    one = {"name": "w", "rungs": ["mid"], **policy}
    given = {"models": MODELS, "workloads": [one]}
    settings, problems = examine_settings(json.dumps(given), {})
    assert settings is not None, problems
    assert settings.workloads[0].effective_rungs == ("mid",)
    assert problems_of("error", [], **policy) == []


@pytest.mark.parametrize(
    ("rungs", "said"),
    [
        (["nobody"], "rungs[0] nobody is not the key of a model"),
        (["teacher"], "is the teacher, which answers where no draft is fit"),
        (["student"], "is asked before any further model"),
        (["mid", "mid"], "rungs[1] mid is listed twice"),
        ("mid", "rungs"),
        ([1], "rungs"),
        (["mid"] * 5, "rungs"),
    ],
)
def test_a_rung_that_cannot_be_one_is_told(rungs: Any, said: str) -> None:
    found = problems_of("error", rungs, promise={"agreement": 0.9})
    assert found
    assert said in found[0]


@pytest.mark.parametrize(
    "policy", [{"policy": "student"}, {"policy": "budget", "budget": {"usd_per_day": 1}}]
)
def test_a_policy_that_judges_no_draft_takes_none(policy: dict[str, Any]) -> None:
    (found,) = problems_of("error", ["mid"], **policy)
    assert f"play no part under policy {policy['policy']}: use promise or threshold" in found


@pytest.mark.parametrize(
    "policy", [{}, {"policy": "teacher"}, {"policy": "teacher", "promise": {"agreement": 0.9}}]
)
def test_where_the_teacher_answers_all_they_are_warned_of(policy: dict[str, Any]) -> None:
    assert problems_of("error", ["mid"], **policy) == []
    told = problems_of("warning", ["mid"], **policy)
    assert any("rungs play no part under policy teacher" in one for one in told)
