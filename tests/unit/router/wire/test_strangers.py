"""Whatever strangers send, in any form: refused in words or understood, never a crash."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from router.errors import ApiError, BadRequest, UpstreamRejected
from router.settings.model import Settings
from router.wire.calls import write_call
from router.wire.form import Form, Native, Untranslatable, translating
from router.wire.hearing import new_reader, understand
from router.wire.messages.incoming import parse_messages
from router.wire.passed_through import parse_passed_through
from router.wire.profile import profile_of
from router.wire.requests import (
    ChatRequest,
    input_text,
    is_cascadable,
    parse_chat,
    shape_of,
    system_prompt,
)
from router.wire.responses.incoming import parse_responses
from router.wire.speaking import new_relay, write_error, write_whole
from router.wire.sse import encode
from router.workload import find_workload, name_workload

WORDS = st.sampled_from(
    [
        *("text", "tool_use", "image", "function", "function_call", "message", "user", "system"),
        *("assistant", "tool", "base64", "url", "json_schema", "enabled", "tool_result", "a"),
        *("input_text", "input_image", "function_call_output", "content_block_start"),
        *("content_block_delta", "message_delta", "message_start", "text_delta", "thinking"),
        *("response.completed", "response.output_item.added", "input_json_delta", "document"),
    ]
)
KEYS = st.sampled_from(
    [
        *("type", "role", "content", "text", "id", "name", "input", "source", "tool_calls"),
        *("function", "arguments", "format", "schema", "tools", "index", "delta", "usage"),
        *("item", "response", "message", "content_block", "choices", "finish_reason", "data"),
        *("image_url", "url", "file", "json_schema", "output", "thinking_blocks", "effort"),
        *("input_tokens", "output_tokens", "prompt_tokens_details", "stop_reason", "custom"),
    ]
)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 9), WORDS, st.sampled_from([1.5, "\ud83d"])
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *("system", "messages", "tools", "tool_choice", "thinking", "output_config", "stop"),
            *("metadata", "input", "instructions", "text", "reasoning", "response_format", "n"),
            *("reasoning_effort", "user", "stream_options", "prompt", "conversation", "stream"),
        ]
    ),
    JSON,
    max_size=4,
)


def parse(form: Form, body: dict[str, Any]) -> ChatRequest:
    raw = json.dumps(body).encode()
    match form:
        case Form.CHAT:
            return parse_chat(raw)
        case Form.MESSAGES:
            return parse_messages(raw, {})
        case Form.RESPONSES:
            return parse_responses(raw)
        case _:
            return parse_passed_through(raw, form)


@given(form=st.sampled_from(Form), fields=FIELDS, turns=st.lists(JSON, max_size=2))
@example(form=Form.CHAT, fields={"tools": 5}, turns=[])
@example(form=Form.MESSAGES, fields={"tools": [5], "tool_choice": []}, turns=[])
@example(form=Form.RESPONSES, fields={"tools": 5}, turns=[])
def test_requests(form: Form, fields: dict[str, Any], turns: list[Any]) -> None:
    said = [{"role": "user", "content": "a"}, *turns]
    body = {"model": "m", "max_tokens": 5, "messages": said, "input": said, **fields}
    with suppress(BadRequest):
        request = parse(form, body)
        for read in (is_cascadable, system_prompt, input_text, shape_of, profile_of):
            read(request.body)
        find_workload(Settings(), request.body, name_workload(request), "")
        for dialect in ("openai", "anthropic"):
            with suppress(BadRequest):
                write_call(dialect, request.body, request.native, model="m", stream=request.stream)


@given(
    form=st.sampled_from(Form), client=st.sampled_from(Form), payload=st.dictionaries(KEYS, JSON)
)
def test_answers(form: Form, client: Form, payload: dict[str, Any]) -> None:
    with suppress(ValueError):
        write_whole(understand(form, payload), Native(form=client, body={}))


@given(
    form=st.sampled_from([Form.CHAT, Form.COMPLETIONS, Form.RESPONSES, Form.MESSAGES]),
    client=st.sampled_from([Form.CHAT, Form.COMPLETIONS, Form.RESPONSES, Form.MESSAGES]),
    events=st.lists(st.dictionaries(KEYS, JSON, max_size=5), max_size=4),
)
def test_streams(form: Form, client: Form, events: list[dict[str, Any]]) -> None:
    reader = new_reader(form)
    relay = new_relay(
        Native(form=client, body={}), form, include_usage=True, describe=lambda: {"tier": "t"}
    )
    with suppress(Untranslatable):
        for event in events:
            with translating():
                understood = reader.feed(event)
            relay.take(encode(event), event, understood, last=reader.ended)
        relay.finish(None)
    assert relay.fail(ApiError("It broke.")).endswith(b"\n\n")


@given(form=st.sampled_from([Form.CHAT, Form.MESSAGES]), body=JSON)
def test_errors_of_an_upstream(form: Form, body: Any) -> None:
    raw = json.dumps(body).encode()
    error = UpstreamRejected("It refused.", status=400, raw=raw)
    told = json.loads(write_error(form, error))
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        assert isinstance(told["error"], dict)
