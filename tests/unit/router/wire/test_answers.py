"""Answers in OpenAI's shapes, there and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from policies.types import Answer, ToolCall
from router.wire.openai import (
    StreamAssembler,
    answer_from_json,
    answer_from_message,
    answer_to_json,
    chunks_from_answer,
    completion_from_answer,
    is_usage_chunk,
)

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
HEAD: dict[str, Any] = {"id": "chatcmpl-1", "model": "small", "created": 1_700_000_000}
TEXT = Answer(content="billing", finish_reason="stop")
CALLS = Answer(
    content=None,
    tool_calls=(
        ToolCall(name="find", arguments='{"id": 4}', id="call_a"),
        ToolCall(name="mail", arguments="{}"),
    ),
    finish_reason="tool_calls",
)
REFUSAL = Answer(content=None, refusal="I can't.", finish_reason="stop")
CUT = Answer(content="bil", finish_reason="length")
EMPTY = Answer(content="", finish_reason="stop")
ANSWERS = [TEXT, CALLS, REFUSAL, CUT, EMPTY]


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_completion_is_what_the_official_client_expects(answer: Answer) -> None:
    payload = completion_from_answer(answer, **HEAD, usage=USAGE)
    parsed = ChatCompletion.model_validate(payload, strict=True)
    assert parsed.id == "chatcmpl-1"
    assert (parsed.model, parsed.created) == ("small", 1_700_000_000)
    assert parsed.object == "chat.completion"
    assert parsed.usage is not None
    assert parsed.usage.total_tokens == 7
    message = parsed.choices[0].message
    assert (message.content, message.refusal) == (answer.content, answer.refusal)
    assert parsed.choices[0].finish_reason == answer.finish_reason


def test_a_completion_reads_back_as_the_answer() -> None:
    for answer in (TEXT, REFUSAL, CUT, EMPTY):
        choice = completion_from_answer(answer, **HEAD, usage=None)["choices"][0]
        assert answer_from_message(choice["message"], choice["finish_reason"]) == answer


def test_calls_without_an_id_get_one_of_their_own() -> None:
    calls = completion_from_answer(CALLS, **HEAD, usage=None)["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["call_a", "call_chatcmpl-1-1"]
    assert calls[0]["function"] == {"name": "find", "arguments": '{"id": 4}'}
    assert (
        "tool_calls"
        not in completion_from_answer(TEXT, **HEAD, usage=None)["choices"][0]["message"]
    )


def test_unknown_usage_is_left_out() -> None:
    assert "usage" not in completion_from_answer(TEXT, **HEAD, usage=None)


def test_a_missing_finish_reason_follows_from_the_answer() -> None:
    reasons = [
        completion_from_answer(answer, **HEAD, usage=None)["choices"][0]["finish_reason"]
        for answer in (Answer(content="x"), Answer(content=None, tool_calls=CALLS.tool_calls))
    ]
    assert reasons == ["stop", "tool_calls"]


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("include_usage", [True, False])
def test_chunks_are_what_the_official_client_expects(answer: Answer, include_usage: bool) -> None:
    chunks = chunks_from_answer(answer, **HEAD, usage=USAGE, include_usage=include_usage)
    parsed = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks]
    assert {chunk.id for chunk in parsed} == {"chatcmpl-1"}
    assert parsed[0].choices[0].delta.role == "assistant"
    with_choices = [chunk for chunk in parsed if chunk.choices]
    reasons = [chunk.choices[0].finish_reason for chunk in with_choices]
    assert reasons == [None] * (len(reasons) - 1) + [answer.finish_reason]
    assert len(parsed) - len(with_choices) == int(include_usage)


def test_usage_comes_last_and_alone() -> None:
    chunks = chunks_from_answer(TEXT, **HEAD, usage=USAGE, include_usage=True)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == USAGE
    assert all(chunk["usage"] is None for chunk in chunks[:-1])
    assert [is_usage_chunk(chunk) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert all("usage" not in chunk for chunk in chunks_from_answer(TEXT, **HEAD, usage=USAGE))


def test_unknown_usage_is_null_never_zero() -> None:
    chunks = chunks_from_answer(TEXT, **HEAD, usage=None, include_usage=True)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] is None


def test_a_chunk_with_neither_choices_nor_usage_is_no_usage_chunk() -> None:
    assert not is_usage_chunk({"choices": [], "prompt_filter_results": []})


@pytest.mark.parametrize("answer", [TEXT, REFUSAL, CUT, EMPTY])
def test_chunks_assemble_to_the_answer(answer: Answer) -> None:
    assembler = StreamAssembler()
    for chunk in chunks_from_answer(answer, **HEAD, usage=USAGE, include_usage=True):
        assembler.feed(chunk)
    assert assembler.answer == answer
    assert (assembler.usage, assembler.model, assembler.whole) == (USAGE, "small", True)


@pytest.mark.parametrize("answer", ANSWERS)
def test_stored_answers_read_back(answer: Answer) -> None:
    assert answer_from_json(json.loads(json.dumps(answer_to_json(answer)))) == answer


@pytest.mark.parametrize(
    "damage",
    [
        {"content": 1},
        {"finish_reason": []},
        {"refusal": 0},
        {"tool_calls": None},
        {"tool_calls": [{"name": "f"}]},
        {"tool_calls": [{"id": None, "name": None, "arguments": "{}"}]},
        {"tool_calls": [{"id": None, "name": "f", "arguments": {}}]},
        {"tool_calls": [{"id": 1, "name": "f", "arguments": "{}"}]},
    ],
)
def test_damaged_stored_answers_are_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="stored answer"):
        answer_from_json({**answer_to_json(TEXT), **damage})


def test_a_stored_answer_that_lacks_a_field_is_refused() -> None:
    with pytest.raises(ValueError, match="stored answer"):
        answer_from_json({"content": "x"})


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        ({"content": "a"}, Answer(content="a")),
        ({}, Answer(content=None)),
        ({"content": 5}, Answer(content=None)),
        (
            {"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            Answer(content="ab"),
        ),
        ({"content": [{"type": "thinking", "thinking": []}]}, Answer(content=None)),
        ({"content": None, "refusal": "no"}, Answer(content=None, refusal="no")),
        ({"content": "a\ud83d"}, Answer(content="a?")),
        (
            {"function_call": {"name": "f", "arguments": "{}"}},
            Answer(content=None, tool_calls=(ToolCall(name="f", arguments="{}"),)),
        ),
        (
            {"tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {"a": 1}}}]},
            Answer(content=None, tool_calls=(ToolCall(name="f", arguments='{"a": 1}', id="x"),)),
        ),
        (
            {"tool_calls": [{"id": "x", "type": "custom", "custom": {"name": "c", "input": "q"}}]},
            Answer(content=None, tool_calls=(ToolCall(name="c", arguments="q", id="x"),)),
        ),
    ],
)
def test_messages_of_all_kinds_of_servers(message: dict[str, Any], answer: Answer) -> None:
    assert answer_from_message(message, None) == answer
