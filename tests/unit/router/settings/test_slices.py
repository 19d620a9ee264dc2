from __future__ import annotations

import pytest

from router.settings.check import check_settings, examine_settings
from tests.unit.router.settings.test_check import TEACHER, only_error

PROMISED = "promise: {agreement: 0.97}"


def workload(slices: str, rest: str = PROMISED) -> str:
    return TEACHER + f"workloads: [{{name: a, {rest}, slices: {slices}}}]\n"


@pytest.mark.parametrize(
    ("slices", "key", "message"),
    [
        ("[{name: s}]", "slices[0].match", "is missing"),
        ("[{name: s, match: {}}]", "slices[0].match", "give a condition"),
        ("[{name: s, match: {metadata: {}}}]", "slices[0].match", "give a condition"),
        ("[{name: s, match: {user_message: []}}]", "user_message", "must not be empty"),
        ("[{name: s, match: {usr_message: x}}]", "usr_message", "did you mean user_message"),
        ("[{name: s, match: {min_chars: 9, max_chars: 8}}]", "match", "matches nothing"),
        ("[{name: a/b, match: x}]", "slices[0].name", "without /"),
        ("[{name: s, match: x, agreement: 0.4}]", "agreement", "more than 0.5"),
        ("[{name: s, match: x}, {name: s, match: y}]", "slices[1].name", "is already on line"),
    ],
)
def test_what_is_wrong_with_a_slice_is_said_in_a_sentence(
    slices: str, key: str, message: str
) -> None:
    found = only_error(workload(slices))
    assert found.key.endswith(key)
    assert message in found.message


def test_slices_need_a_promise_that_is_kept() -> None:
    slices = "[{name: s, match: x}]"
    assert "need a promise" in only_error(workload(slices, "compare: label")).message
    idle = only_error(workload(slices, f"policy: teacher, {PROMISED}"))
    assert "play no part under policy teacher" in idle.message


def test_at_most_twenty() -> None:
    many = ", ".join(f"{{name: s{i}, match: x}}" for i in range(21))
    assert only_error(workload(f"[{many}]")).message == "must have at most 20 entries"


def test_a_plain_text_is_a_pattern_of_the_user_message() -> None:
    text = workload('[{name: s, match: "*refund*", agreement: 0.99}]')
    settings, problems = examine_settings(text, {"TEACHER_KEY": "k"})
    assert settings is not None
    assert problems == check_settings(text, {"TEACHER_KEY": "k"})
    (found,) = settings.workloads[0].slices
    assert (found.match.user_message, found.agreement) == (("*refund*",), 0.99)
