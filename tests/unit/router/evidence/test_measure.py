from __future__ import annotations

import math
from typing import Any

import pytest

from policies.types import Answer, ToolCall
from router.evidence.measure import measure_draft

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
WORKED = (
    "Each box holds 6 eggs and there are 4 boxes on the table in the kitchen, so there are "
    "6 * 4 = {} eggs in all.\n#### {}"
)


def ask(text: str, **more: Any) -> dict[str, Any]:
    system = {"role": "system", "content": "Be brief."}
    return {"messages": [system, {"role": "user", "content": text}], **more}


def test_a_short_draft_has_lengths_and_flags_alone() -> None:
    found = measure_draft(ask("Where is it?"), Answer(content="here", finish_reason="length"))
    assert found.keys() == {"prompt_chars", "draft_chars", "turns", "refused", "cut_short"}
    assert found["draft_chars"] == pytest.approx(math.log1p(4))
    assert (found["turns"], found["refused"], found["cut_short"]) == (1.0, 0.0, 1.0)


def test_a_refusal_and_a_conversation_are_told() -> None:
    body = ask("again")
    body["messages"] += [{"role": "assistant", "content": "no"}, {"role": "user", "content": "do"}]
    found = measure_draft(body, Answer(content=None, refusal="I won't."))
    assert (found["turns"], found["refused"], found["draft_chars"]) == (2.0, 1.0, 0.0)


def test_a_worked_solution_is_checked() -> None:
    right = measure_draft(ask("4 boxes of 6 eggs?"), Answer(content=WORKED.format(24, 24)))
    wrong = measure_draft(ask("4 boxes of 6 eggs?"), Answer(content=WORKED.format(26, 26)))
    assert right.keys() == wrong.keys() > {"d_wrong", "q_numbers"}
    assert (right["d_wrong"], wrong["d_wrong"]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "missing", "made_up"),
    [('{"city": "Rome"}', 0.0, 0.0), ("{}", 1.0, 0.0), ('{"city": "Oslo"}', 0.0, 1.0)],
)
def test_calls_are_checked_against_the_tools_offered(
    arguments: str, missing: float, made_up: float
) -> None:
    answer = Answer(content=None, tool_calls=(ToolCall(name="find", arguments=arguments),))
    found = measure_draft(ask("What is there in Rome?", tools=[TOOL]), answer)
    assert (found["call_missing"], found["call_made_up"]) == (missing, made_up)


def test_only_the_last_question_counts_as_what_was_asked() -> None:
    """What an earlier turn named isn't what this one asks about."""
    body = ask("Rome?", tools=[TOOL])
    body["messages"] += [
        {"role": "assistant", "content": "x"},
        {"role": "user", "content": "Bari?"},
    ]
    call = ToolCall(name="find", arguments='{"city": "Rome"}')
    assert measure_draft(body, Answer(content=None, tool_calls=(call,)))["call_made_up"] == 1.0


def test_malformed_tools_are_passed_over() -> None:
    body = ask("Rome?", tools=[{"type": "function"}, {"type": "function", "function": {}}])
    found = measure_draft(body, Answer(content="Which Rome?"))
    assert not any(name.startswith("call_") for name in found)
