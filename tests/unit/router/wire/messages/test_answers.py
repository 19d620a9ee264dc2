"""Answers of the Messages form, whole and streamed, from and to chat completions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.types import ToolCall
from router.wire.assembler import StreamAssembler
from router.wire.messages.answers import (
    completion_from_message,
    message_from_completion,
    usage_from_message,
    usage_to_message,
)
from router.wire.messages.stream import MessageReader, MessageWriter
from router.wire.sse import Last, SseDecoder

# In the shape of Anthropic's documentation of streamed messages, with thinking.
EVENTS: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "model": "claude-big",
            "usage": {"input_tokens": 25, "cache_read_input_tokens": 10, "output_tokens": 1},
        },
    },
    {"type": "ping"},
    {
        "type": "content_block_start",
        "index": 0,
        "content_block": {"type": "thinking", "thinking": "", "signature": ""},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "First, "},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "thinking_delta", "thinking": "look."},
    },
    {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "signature_delta", "signature": "c2ln"},
    },
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {
        "type": "content_block_delta",
        "index": 1,
        "delta": {"type": "text_delta", "text": "Let me look."},
    },
    {"type": "content_block_stop", "index": 1},
    {
        "type": "content_block_start",
        "index": 2,
        "content_block": {"type": "tool_use", "id": "t1", "name": "find", "input": {}},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": '{"a"'},
    },
    {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": ": 1}"},
    },
    {"type": "content_block_stop", "index": 2},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 15},
    },
    {"type": "message_stop"},
]


def decode(events: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in SseDecoder().feed(b"".join(events))]


def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "chatcmpl-1", "model": "m", "choices": [choice]}


def call(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments, **more}}]}


def test_a_stream_is_understood() -> None:
    reader, assembler = MessageReader(), StreamAssembler()
    chunks = [chunk for event in EVENTS for chunk in reader.feed(event)]
    for one in chunks:
        assembler.feed(one)
    assert reader.ended
    assert assembler.whole
    assert assembler.model == "claude-big"
    assert assembler.answer.content == "Let me look."
    assert assembler.answer.tool_calls == (ToolCall(id="t1", name="find", arguments='{"a": 1}'),)
    assert assembler.answer.finish_reason == "tool_calls"
    assert assembler.usage is not None
    assert (assembler.usage["prompt_tokens"], assembler.usage["completion_tokens"]) == (35, 15)
    deltas = [one["choices"][0]["delta"] for one in chunks if one["choices"]]
    assert "".join(d.get("reasoning_content", "") for d in deltas) == "First, look."
    thought = {"type": "thinking", "thinking": "First, look.", "signature": "c2ln"}
    assert {"thinking_blocks": [thought]} in deltas


def test_a_stream_written_again_says_the_same() -> None:
    reader, writer = MessageReader(), MessageWriter()
    events = [sent for event in EVENTS for c in reader.feed(event) for sent in writer.feed(c)]
    events += writer.finish()
    assert isinstance(events[-1], Last)
    assert not any(isinstance(event, Last) for event in events[:-1])
    told = decode(events)
    skipped = ("ping", "message_start", "message_delta")
    assert [e for e in told if e["type"] not in skipped] == [
        e for e in EVENTS if e["type"] not in skipped
    ]
    closing = next(e for e in told if e["type"] == "message_delta")
    assert closing["delta"]["stop_reason"] == "tool_use"
    assert closing["usage"]["input_tokens"] == 25
    assert closing["usage"]["cache_read_input_tokens"] == 10


def test_interleaved_calls_come_one_after_the_other() -> None:
    writer = MessageWriter()
    events: list[bytes] = []
    for delta in (
        call(0, "", name="f"),
        call(1, '{"b"', name="g"),
        call(0, '{"a": 1}'),
        {"content": "so"},
        call(1, ": 2}"),
    ):
        events += writer.feed(chunk(delta))
    events += [*writer.feed(chunk({}, "tool_calls")), *writer.finish()]
    blocks: dict[int, list[str]] = {}
    open_block: int | None = None
    for event in decode(events):
        if event["type"] == "content_block_start":
            assert open_block is None
            open_block = event["index"]
            blocks[open_block] = [event["content_block"].get("name", "text")]
        elif event["type"] == "content_block_delta":
            assert event["index"] == open_block
            delta = event["delta"]
            blocks[open_block].append(delta.get("partial_json") or delta.get("text"))
        elif event["type"] == "content_block_stop":
            open_block = None
    assert blocks == {0: ["f", '{"a": 1}'], 1: ["g", '{"b": 2}'], 2: ["text", "so"]}


def test_an_empty_stream_is_an_empty_message() -> None:
    kinds = [event["type"] for event in decode(MessageWriter().finish())]
    assert kinds == ["message_start", "message_delta", "message_stop"]


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("max_tokens", "length"), ("refusal", "content_filter")],
)
def test_a_whole_message_there_and_back(reason: str, finish: str) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-big",
        "content": [
            thought,
            {"type": "text", "text": "so"},
            {"type": "tool_use", "id": "t", "name": "f", "input": {"a": "ü"}},
        ],
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 5,
            "cache_creation_input_tokens": 3,
            "cache_read_input_tokens": 2,
            "output_tokens": 7,
        },
    }
    completion = completion_from_message(message)
    said = completion["choices"][0]["message"]
    assert completion["choices"][0]["finish_reason"] == finish
    assert said["reasoning_content"] == "hm"
    assert said["tool_calls"][0]["function"]["arguments"] == '{"a": "ü"}'
    assert completion["usage"]["prompt_tokens"] == 10
    assert completion["usage"]["prompt_tokens_details"]["cached_tokens"] == 2
    assert message_from_completion(completion) == message


def test_a_refusal_is_told_as_one() -> None:
    said = {"role": "assistant", "content": None, "refusal": "No."}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    message = message_from_completion({"id": "x", "choices": [choice]})
    assert message["content"] == [{"type": "text", "text": "No."}]
    assert message["stop_reason"] == "refusal"


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 5}, {"output_tokens": "many"}])
def test_usage_that_makes_no_sense_is_unknown(usage: Any) -> None:
    assert usage_from_message(usage) is None


def test_unknown_usage_is_told_as_zeros() -> None:
    assert set(usage_to_message(None).values()) == {0}


@pytest.mark.parametrize("payload", [{}, {"content": "text"}, {"content": [1]}])
def test_what_is_no_message_is_named(payload: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no message"):
        completion_from_message(payload)
