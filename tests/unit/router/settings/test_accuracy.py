"""A promise on accuracy in the configuration."""

from __future__ import annotations

import pytest

from router.settings.model import PromiseSettings, WorkloadSettings
from tests.unit.router.settings.test_check import TEACHER, errors, only_error


def written(promise: str, more: str = "") -> str:
    return f"{TEACHER}workloads: [{{name: a, promise: {{{promise}}}{more}}}]\n"


def test_its_verdicts_have_defaults() -> None:
    assert errors(written("accuracy: 0.9")) == []
    assert errors(written("accuracy: 0.9, verdicts: {share: 1, within: 7d}, over: all")) == []
    promise = PromiseSettings(accuracy=0.9)
    assert (promise.at_least, promise.agreement) == (0.9, None)
    verdicts = promise.effective_verdicts
    assert (verdicts.share, verdicts.within) == (0.2, 86_400.0)
    assert WorkloadSettings(name="a", promise=promise).effective_policy == "promise"


@pytest.mark.parametrize(
    ("promise", "more", "key", "message"),
    [
        ("confidence: 0.9", "", "promise", "must have agreement or accuracy, and not both"),
        ("agreement: 0.9, accuracy: 0.9", "", "promise", "and not both"),
        ("agreement: 0.9, verdicts: {share: 0.1}", "", "promise", "for accuracy alone"),
        ("accuracy: 0.9, over: served", "", "promise", "counts over all interactions"),
        ("accuracy: 0.9, guarantee: true", "", "promise", "has no guarantee"),
        ("accuracy: 0.4", "", "promise.accuracy", "more than 0.5"),
        ("accuracy: 0.9, verdicts: {share: 0}", "", "promise.verdicts.share", "more than 0"),
        ("accuracy: 0.9, verdicts: {within: 0s}", "", "promise.verdicts.within", "more than 0"),
        ("accuracy: 0.9, verdicts: {within: 31d}", "", "promise.verdicts.within", "at most"),
        ("accuracy: 0.9", ", slices: [{name: s, match: x}]", "slices", "can't promise accuracy"),
        ("accuracy: 0.9", ", audit: {proof_share: 0.1}", "audit.proof_share", "verdicts.share"),
        ("accuracy: 0.9", ", audit: {repeats: 30}", "audit.repeats", "measures nothing"),
    ],
)
def test_what_cannot_be_kept_or_does_nothing_is_refused(
    promise: str, more: str, key: str, message: str
) -> None:
    found = only_error(written(promise, more))
    assert found.key == f"workloads[0].{key}"
    assert message in found.message


def test_records_outlast_the_wait_for_verdicts() -> None:
    text = written("accuracy: 0.9, verdicts: {within: 2d}")
    assert errors(text + "data: {retention_days: 3}\n") == []
    found = only_error(text + "data: {retention_days: 2}\n")
    assert found.key == "workloads[0].promise.verdicts.within"
