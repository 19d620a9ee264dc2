"""The Responses form, from and to chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.types import Answer, ToolCall
from router.errors import BadRequest
from router.wire.answers import answer_from_message, chunks_from_answer, completion_from_answer
from router.wire.assembler import StreamAssembler
from router.wire.form import Form
from router.wire.hearing import new_reader, understand
from router.wire.messages.answers import message_from_completion
from router.wire.messages.stream import MessageWriter
from router.wire.requests import is_cascadable
from router.wire.responses.answers import response_from_completion
from router.wire.responses.incoming import (
    SERVER_STATE,
    chat_from_responses,
    goes_on,
    parse_responses,
)
from router.wire.responses.stream import ResponseWriter
from router.wire.sse import Last, SseDecoder

IDENTITY: dict[str, Any] = {
    "id": "chatcmpl-1",
    "model": "m",
    "created": 5,
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


def parse(**body: Any) -> Any:
    return parse_responses(json.dumps(body).encode())


def test_a_request_is_read() -> None:
    body: dict[str, Any] = {
        "model": "auto",
        "instructions": "Sort.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "let me see"}],
            },
            {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "1"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": {}, "strict": True}],
        "tool_choice": {"type": "function", "name": "f"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "max_output_tokens": 5,
        "reasoning": {"effort": "low"},
        "store": False,
        "x_new": 1,
    }
    calls = [
        {"id": name, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        for name in ("c1", "c2")
    ]
    request = parse(**body)
    assert request.body == {
        "model": "auto",
        "store": False,
        "messages": [
            {"role": "system", "content": "Sort."},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "let me see", "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "1"},
        ],
        "max_completion_tokens": 5,
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}
        ],
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "reasoning_effort": "low",
        "x_new": 1,
    }
    assert request.pinned is None
    assert is_cascadable(request.body)


@pytest.mark.parametrize(
    ("more", "shared"),
    [
        ({"previous_response_id": "resp_1"}, True),
        ({"conversation": "conv_1"}, True),
        ({"background": True}, True),
        ({"prompt": {"id": "p"}}, False),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, True),
    ],
)
def test_what_hangs_on_the_server_is_pinned_and_not_learned(
    more: dict[str, Any], shared: bool
) -> None:
    request = parse(model="m", store=False, **more)
    assert (request.pinned, request.learnable) == (SERVER_STATE, False)
    assert goes_on(request.native) is shared


def test_what_is_to_be_stored_is_pinned_but_learned() -> None:
    request = parse(model="m", input="a")
    assert (request.pinned, request.learnable) == (SERVER_STATE, True)
    assert not goes_on(request.native)


@pytest.mark.parametrize(
    "item",
    [
        {"type": "web_search_call", "id": "ws_1"},
        {"role": "user", "content": [{"type": "input_image", "image_url": "http://h/x.png"}]},
        {"role": "user", "content": [{"type": "input_file", "file_id": "f"}]},
    ],
)
def test_items_that_are_no_text_are_for_no_draft(item: dict[str, Any]) -> None:
    assert not is_cascadable(chat_from_responses({"input": [item]}))


def test_a_tool_that_the_server_runs_is_for_no_draft() -> None:
    assert not is_cascadable(chat_from_responses({"input": "a", "tools": [{"type": "mcp"}]}))


@pytest.mark.parametrize(
    ("body", "param"),
    [({"input": 5}, "input"), ({"input": [5]}, "input[0]"), ({"model": 5}, "model")],
)
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(**body)
    assert caught.value.param == param


TEXT = st.text(alphabet="abc ü\n", min_size=1, max_size=12)
CALLS = st.lists(
    st.builds(
        ToolCall,
        name=st.sampled_from(["f", "g"]),
        arguments=st.sampled_from(["{}", '{"a": 1}', '{"b": [1, "ü"]}']),
        id=st.uuids().map(lambda one: f"call_{one.hex[:8]}"),
    ),
    max_size=3,
).map(tuple)
ANSWERS = st.one_of(
    st.builds(Answer, content=TEXT, tool_calls=st.just(()), finish_reason=st.just("stop")),
    st.builds(Answer, content=TEXT, finish_reason=st.just("length")),
    st.builds(
        Answer,
        content=st.one_of(st.none(), TEXT),
        tool_calls=CALLS.filter(len),
        finish_reason=st.just("tool_calls"),
    ),
)


@given(answer=ANSWERS, form=st.sampled_from([Form.RESPONSES, Form.MESSAGES]))
def test_every_answer_survives_a_form(answer: Answer, form: Form) -> None:
    completion = completion_from_answer(answer, **IDENTITY)
    whole = (
        response_from_completion(completion, {})
        if form is Form.RESPONSES
        else message_from_completion(completion)
    )
    choice = understand(form, json.loads(json.dumps(whole)))["choices"][0]
    assert answer_from_message(choice["message"], choice["finish_reason"]) == answer

    writer = ResponseWriter({}) if form is Form.RESPONSES else MessageWriter()
    chunks = chunks_from_answer(answer, **IDENTITY, include_usage=True)
    events = [event for chunk in chunks for event in writer.feed(chunk)] + writer.finish()
    assert [isinstance(event, Last) for event in events] == [False] * (len(events) - 1) + [True]
    reader, assembler = new_reader(form), StreamAssembler()
    for event in SseDecoder().feed(b"".join(events)):
        payload = json.loads(event.data)
        assert payload["type"] == event.event
        for chunk in reader.feed(payload):
            assembler.feed(chunk)
    assert reader.ended
    assert assembler.answer == answer
    assert assembler.usage is not None
    assert assembler.usage["prompt_tokens"] == 3


def test_events_are_numbered_and_end_with_the_whole_response() -> None:
    answer = Answer(content="so", tool_calls=(ToolCall(name="f", arguments="{}", id="c"),))
    writer = ResponseWriter({"instructions": "Sort.", "temperature": 0.5})
    chunks = chunks_from_answer(answer, **IDENTITY, include_usage=True)
    events = [event for chunk in chunks for event in writer.feed(chunk)] + writer.finish()
    told = [json.loads(event.data) for event in SseDecoder().feed(b"".join(events))]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    last = told[-1]["response"]
    assert (last["status"], last["instructions"], last["temperature"]) == (
        "completed",
        "Sort.",
        0.5,
    )
    assert last["usage"]["input_tokens"] == 3
    done = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert done == last["output"]


def test_a_response_that_failed_is_no_answer() -> None:
    with pytest.raises(ValueError, match="failed"):
        understand(Form.RESPONSES, {"output": [], "status": "failed"})


def test_usage_counts_what_failed_in_the_middle() -> None:
    usage = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    failed = {"type": "response.failed", "response": {"status": "failed", "usage": usage}}
    chunks = new_reader(Form.RESPONSES).feed(failed)
    assert [chunk["usage"]["prompt_tokens"] for chunk in chunks] == [3]
