from __future__ import annotations

import pytest

from router.deciding.pools import find_pools
from router.settings.check import check_settings, examine_settings
from router.settings.rules import why_not_several
from tests.unit.router.settings.test_check import TEACHER, only_error

PROMISED = "promise: {agreement: 0.97}"


def workloads(first: str, second: str) -> str:
    entries = f"{{name: a, {first}, pool: p}}, {{name: b, {second}, pool: p}}"
    return TEACHER + f"workloads: [{{name: c, match: never}}, {entries}]\n"


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("promise: {agreement: 0.96}", "which has another promise: pooled workloads promise the"),
        ("promise: {agreement: 0.97, confidence: 0.9}", "which has another promise"),
        ("promise: {agreement: 0.97, over: served}", "which has another promise"),
        (f"{PROMISED}, compare: label", "which has another compare"),
        (f"{PROMISED}, audit: {{proof_share: 0.5}}", "which has another audit.proof_share"),
        ("promise: {agreement: 0.97, guarantee: true}", "can't share a guarantee"),
        ("promise: {accuracy: 0.9}", "can't share a promise on accuracy"),
        (f"{PROMISED}, slices: [{{name: s, match: x}}]", "with slices"),
        ("compare: label", "needs a promise"),
    ],
)
def test_who_cannot_be_in_a_pool_is_told_why(second: str, message: str) -> None:
    found = only_error(workloads(PROMISED, second))
    assert found.key == "workloads[2].pool"
    assert message in found.message


def test_a_substituted_promise_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = workloads(PROMISED, 'promise: {agreement: "${P}", confidence: 0.95}')
    settings, problems = examine_settings(text, {"TEACHER_KEY": "k", "P": "0.97"})
    assert settings is not None
    assert [one.pool for one in settings.workloads] == [None, "p", "p"]
    assert all(problem.severity == "warning" for problem in problems)


def test_a_pool_of_one_shares_nothing() -> None:
    text = TEACHER + f"workloads: [{{name: a, {PROMISED}, pool: p}}]\n"
    (found,) = [
        one for one in check_settings(text, {"TEACHER_KEY": "k"}) if one.key == "workloads[0].pool"
    ]
    assert (found.severity, "has no other workload in it" in found.message) == ("warning", True)


def test_a_member_may_be_under_another_policy_for_a_while() -> None:
    text = workloads(PROMISED, f"{PROMISED}, policy: teacher")
    found = [one for one in check_settings(text, {"TEACHER_KEY": "k"}) if ".pool" in one.key]
    assert [(one.severity, one.key) for one in found] == [
        ("warning", "workloads[1].pool"),
        ("warning", "workloads[2].pool"),
    ]
    assert "has no other workload in it" in found[0].message
    assert found[1].message == "plays no part under policy teacher"
    settings, _ = examine_settings(text, {"TEACHER_KEY": "k"})
    assert settings is not None
    assert [one.members for one in find_pools(settings)] == [("a",)]


def test_several_workers_are_refused() -> None:
    shared = {"coordination": {"url": "redis://x"}, "workloads": [{"name": "a", "pool": "p"}]}
    assert why_not_several(shared) == "the pool of workload a is kept by one worker only"
