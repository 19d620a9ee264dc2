"""Requests of the Messages form, from and to chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from router.errors import BadRequest
from router.wire.form import Form
from router.wire.messages.incoming import chat_from_messages, parse_messages
from router.wire.messages.outgoing import DEFAULT_MAX_TOKENS, messages_from_chat
from router.wire.requests import is_cascadable

USER = [{"role": "user", "content": "a"}]


def read(**fields: Any) -> dict[str, Any]:
    return chat_from_messages({"messages": USER, "max_tokens": 5, **fields})


def write(**fields: Any) -> dict[str, Any]:
    return messages_from_chat({"messages": USER, **fields})


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 5}, "model"),
        ({"max_tokens": 5, "model": "m"}, "messages"),
        ({"max_tokens": 5, "model": "m", "messages": []}, "messages"),
        ({"max_tokens": 5, "model": "m", "messages": [1]}, "messages[0]"),
        ({"max_tokens": 5, "model": "m", "messages": [{"role": "tool"}]}, "messages[0].role"),
        ({"max_tokens": 5, "model": "m", "messages": [{"role": "user"}]}, "messages[0].content"),
        (
            {"max_tokens": 5, "model": "m", "messages": [{"role": "user", "content": [{}]}]},
            "messages[0].content[0].type",
        ),
        ({"max_tokens": 5, "model": "m", "messages": USER, "system": 5}, "system"),
        ({"max_tokens": 5, "model": "m", "messages": USER, "stream": 1}, "stream"),
    ],
)
def test_what_is_wrong_is_named(given: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse_messages(json.dumps(given).encode(), {})
    assert caught.value.param == param


def test_a_request_keeps_what_was_sent_beside_what_it_means() -> None:
    body = {"model": "auto", "max_tokens": 5, "messages": USER, "cache_control": {"type": "e"}}
    raw = json.dumps({**body, "tutelage": {"store": False}}).encode()
    request = parse_messages(raw, {"anthropic-beta": "x", "cookie": "no"})
    assert request.form is Form.MESSAGES
    assert request.native is not None
    assert request.native.body == body
    assert request.native.headers == {"anthropic-beta": "x"}
    assert not request.options.store
    assert request.body == {"model": "auto", "messages": USER, "max_completion_tokens": 5}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stop_sequences": ["x"]}, {"stop": ["x"]}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": "required"}),
        (
            {"tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": True}},
            {
                "tool_choice": {"type": "function", "function": {"name": "f"}},
                "parallel_tool_calls": False,
            },
        ),
        ({"thinking": {"type": "enabled", "budget_tokens": 20_000}}, {"reasoning_effort": "high"}),
        ({"thinking": {"type": "disabled"}}, {}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "xhigh"}),
        ({"metadata": {"user_id": "u"}}, {"user": "u"}),
        ({"top_k": 3, "x_new": [1]}, {"top_k": 3, "x_new": [1]}),
    ],
)
def test_fields_have_their_counterparts(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read(**fields) == {"messages": USER, "max_completion_tokens": 5, **expected}


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/png", "data": "AA"},
            },
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "http://h/x.png"}},
            {"type": "image_url", "image_url": {"url": "http://h/x.png"}},
        ),
        (
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
            },
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA"},
            },
        ),
        ({"type": "new_block", "x": 1}, {"type": "new_block", "x": 1}),
    ],
)
def test_what_is_no_text_is_no_text_there_either(
    block: dict[str, Any], part: dict[str, Any]
) -> None:
    chat = read(messages=[{"role": "user", "content": [block]}])
    assert chat["messages"] == [{"role": "user", "content": [part]}]
    assert not is_cascadable(chat)


def test_a_picture_that_a_tool_gave_is_shown_by_the_user() -> None:
    picture = {"type": "image", "source": {"type": "url", "url": "http://h/x.png"}}
    result = {
        "type": "tool_result",
        "tool_use_id": "t",
        "content": [{"type": "text", "text": "see"}, picture],
    }
    said = {"type": "text", "text": "well?"}
    chat = read(messages=[{"role": "user", "content": [result, said]}])
    shown = {"type": "image_url", "image_url": {"url": "http://h/x.png"}}
    assert chat["messages"] == [
        {"role": "tool", "tool_call_id": "t", "content": "see"},
        {"role": "user", "content": [shown]},
        {"role": "user", "content": "well?"},
    ]


def test_a_tool_that_the_server_runs_is_for_no_draft() -> None:
    tools = [{"name": "f", "input_schema": {"type": "object"}}]
    assert is_cascadable(read(tools=tools))
    assert not is_cascadable(read(tools=[*tools, {"type": "web_search_20250305"}]))


CHAT: dict[str, Any] = {
    "model": "m",
    "temperature": 0.5,
    "stop": ["x"],
    "max_completion_tokens": 7,
    "reasoning_effort": "medium",
    "parallel_tool_calls": False,
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "tools": [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"type": "object"}},
        }
    ],
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
    },
    "messages": [
        {"role": "system", "content": "Sort."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "see"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}},
            ],
        },
        {
            "role": "assistant",
            "content": "so",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"a": 1}'},
                },
                {"id": "c2", "type": "function", "function": {"name": "f", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
        {"role": "tool", "tool_call_id": "c2", "content": "2"},
        {"role": "user", "content": "and?"},
    ],
}


def test_there_and_back_is_the_same_request() -> None:
    written = messages_from_chat(CHAT)
    assert [turn["role"] for turn in written["messages"]] == ["user", "assistant", "user"]
    assert chat_from_messages(written) == CHAT


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"logit_bias": {"5": 1}},
        {"presence_penalty": 0.5},
        {"modalities": ["text", "audio"]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_what_the_form_cant_say_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        write(**fields)
    assert caught.value.param == next(iter(fields))
    assert caught.value.code == "unsupported_parameter"


def test_sound_is_refused_where_it_stands() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    with pytest.raises(BadRequest) as caught:
        write(messages=[{"role": "user", "content": [sound]}])
    assert caught.value.param == "messages[0].content[0]"


def test_arguments_that_are_no_json_are_refused() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    with pytest.raises(BadRequest, match="not a JSON object"):
        write(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])


def test_hints_are_left_out_and_unknown_fields_forwarded() -> None:
    harmless = {"n": 1, "logprobs": False, "seed": 5, "store": True, "stream_options": {}}
    asked = write(**harmless, user="u", x_new={"a": 1})
    assert asked == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "max_tokens": DEFAULT_MAX_TOKENS,
        "metadata": {"user_id": "u"},
        "x_new": {"a": 1},
    }
