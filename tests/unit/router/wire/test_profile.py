"""What a draft must have been learned for."""

from __future__ import annotations

from typing import Any

import pytest

from router.wire.profile import profile_of

BODY: dict[str, Any] = {
    "model": "auto",
    "messages": [
        {"role": "system", "content": "Sort the message."},
        {"role": "user", "content": "Where is my parcel?"},
    ],
}
TOOL = {"type": "function", "function": {"name": "track"}}


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.3, "user": "u", "stream": True, "max_tokens": 50},
        {"tools": [], "tool_choice": "auto", "stop": None},
        {"tools": [TOOL], "tool_choice": "none"},
        {"response_format": {"type": "text"}},
        {"messages": [*BODY["messages"], {"role": "assistant", "content": "?"}]},
    ],
)
def test_what_does_not_change_the_form_is_no_difference(change: dict[str, Any]) -> None:
    assert profile_of({**BODY, **change}) == profile_of(BODY)


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "required"},
        {"response_format": {"type": "json_object"}},
        {"stop": ["r"]},
    ],
)
def test_another_form_of_answer_is_another_profile(change: dict[str, Any]) -> None:
    changed = profile_of({**BODY, **change})
    assert changed.form != profile_of(BODY).form
    assert changed.prompt == profile_of(BODY).prompt


def test_other_instructions_are_another_profile() -> None:
    french = [{"role": "system", "content": "Sort the message. In French."}, BODY["messages"][1]]
    changed = profile_of({**BODY, "messages": french})
    assert changed.form == profile_of(BODY).form
    assert changed.prompt != profile_of(BODY).prompt
