"""What the gateway reads of a chat-completions request, and what it refuses."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from policies.types import Shape, Tier
from router.errors import BadRequest
from router.wire.openai import (
    Options,
    input_text,
    is_cascadable,
    parse_chat,
    shape_of,
    system_prompt,
)

USER = {"role": "user", "content": "where is my parcel"}


def encode(**fields: Any) -> bytes:
    return json.dumps({"model": "auto", "messages": [USER], **fields}).encode()


def refuse(raw: bytes) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        parse_chat(raw)
    assert caught.value.status == 400
    assert json.loads(caught.value.body())["error"]["type"] == "invalid_request_error"
    return caught.value


def test_a_plain_request() -> None:
    request = parse_chat(encode())
    assert request.body == {"model": "auto", "messages": [USER]}
    assert request.messages == [USER]
    assert request.model == "auto"
    assert (request.stream, request.include_usage, request.n) == (False, False, 1)
    assert request.options == Options(workload=None, force=None, store=True, max_cost_usd=None)


def test_every_field_that_is_read() -> None:
    request = parse_chat(
        encode(
            stream=True,
            stream_options={"include_usage": True},
            n=3,
            tutelage={"workload": "w", "force": "student", "store": False, "max_cost_usd": 0.01},
        )
    )
    assert (request.stream, request.include_usage, request.n) == (True, True, 3)
    assert request.options == Options(
        workload="w", force=Tier.STUDENT, store=False, max_cost_usd=Decimal("0.01")
    )


def test_unknown_fields_stay_and_ours_goes() -> None:
    given = {"x_vendor": {"a": [1, None]}, "temperature": 0.1, "store": True, "user": "ü"}
    body = parse_chat(encode(**given, tutelage={"store": False})).body
    assert body == {"model": "auto", "messages": [USER], **given}


def test_nulls_mean_not_given() -> None:
    request = parse_chat(encode(stream=None, n=None, stream_options=None, tutelage=None))
    assert (request.stream, request.include_usage, request.n) == (False, False, 1)
    nulls = dict.fromkeys(("workload", "force", "store", "max_cost_usd"))
    assert parse_chat(encode(tutelage=nulls)).options == Options()


@pytest.mark.parametrize("raw", [b"", b"{", b"<html>", b'{"a": NaN}', b'{"a":1,"a":2}', b"\xff"])
def test_malformed_json(raw: bytes) -> None:
    error = refuse(raw)
    assert error.code == "invalid_json"
    assert error.message.startswith("The request body is ")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(b"[]", "an array"), (b"null", "null"), (b'"x"', "a string"), (b"true", "a boolean")],
)
def test_a_body_that_is_no_object(raw: bytes, kind: str) -> None:
    assert kind in refuse(raw).message


def test_a_body_that_is_nested_too_deep() -> None:
    deep: Any = 1
    for _ in range(101):
        deep = [deep]
    assert "deeper than 100" in refuse(encode(x=deep)).message


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"model": None}, "model", "missing_required_parameter"),
        ({"model": 3}, "model", "invalid_type"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "hi"}, "messages", "invalid_type"),
        ({"messages": {"role": "user"}}, "messages", "invalid_type"),
        ({"messages": [USER, "hi"]}, "messages[1]", "invalid_type"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [{"role": 1}]}, "messages[0].role", "invalid_type"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "invalid_type"),
        ({"messages": [{"role": "user", "content": {}}]}, "messages[0].content", "invalid_type"),
        (
            {"messages": [{"role": "user", "content": ["a"]}]},
            "messages[0].content[0]",
            "invalid_type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "a"}]}]},
            "messages[0].content[0].type",
            "invalid_type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "messages[0].content[0].text",
            "invalid_type",
        ),
        ({"stream": "true"}, "stream", "invalid_type"),
        ({"stream": 1}, "stream", "invalid_type"),
        ({"stream_options": []}, "stream_options", "invalid_type"),
        (
            {"stream_options": {"include_usage": "yes"}},
            "stream_options.include_usage",
            "invalid_type",
        ),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"n": -1}, "n", "integer_below_min_value"),
        ({"n": 1.0}, "n", "invalid_type"),
        ({"n": True}, "n", "invalid_type"),
        ({"n": "2"}, "n", "invalid_type"),
        ({"tutelage": []}, "tutelage", "invalid_type"),
        ({"tutelage": {"wrkload": "x"}}, "tutelage.wrkload", "unknown_parameter"),
        ({"tutelage": {"workload": 1}}, "tutelage.workload", "invalid_type"),
        ({"tutelage": {"workload": ""}}, "tutelage.workload", "invalid_value"),
        ({"tutelage": {"force": "recall"}}, "tutelage.force", "invalid_value"),
        ({"tutelage": {"force": []}}, "tutelage.force", "invalid_type"),
        ({"tutelage": {"store": "no"}}, "tutelage.store", "invalid_type"),
        ({"tutelage": {"max_cost_usd": "1"}}, "tutelage.max_cost_usd", "invalid_type"),
        ({"tutelage": {"max_cost_usd": True}}, "tutelage.max_cost_usd", "invalid_type"),
        ({"tutelage": {"max_cost_usd": -0.1}}, "tutelage.max_cost_usd", "invalid_value"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], param: str, code: str) -> None:
    error = refuse(encode(**fields))
    assert (error.param, error.code) == (param, code)
    assert f"'{param}'" in error.message


def test_a_missing_key_is_named_like_a_null() -> None:
    assert refuse(b'{"model": "m"}').param == "messages"
    assert refuse(json.dumps({"messages": [USER]}).encode()).param == "model"


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant"},
        {"role": "user", "content": ""},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "4"},
        {"role": "someday", "content": "x", "name": "n"},
    ],
)
def test_messages_that_pass(message: dict[str, Any]) -> None:
    assert parse_chat(encode(messages=[message])).messages == [message]


def test_the_cost_limit_is_exact() -> None:
    limit = parse_chat(
        b'{"model":"m","messages":[{"role":"user"}],"tutelage":{"max_cost_usd":0.1}}'
    )
    assert limit.options.max_cost_usd == Decimal("0.1")


# shape_of


def test_the_shape_of_a_plain_request() -> None:
    assert shape_of({"messages": [USER]}) == Shape()
    assert shape_of({"response_format": {"type": "text"}}) == Shape()


def test_the_shape_of_json_requests() -> None:
    assert shape_of({"response_format": {"type": "json_object"}}) == Shape(json=True)
    schema = {"type": "object", "properties": {"a": {"type": "number"}}}
    wrapped = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert shape_of({"response_format": wrapped}) == Shape(json=True, json_schema=schema)


def test_the_shape_of_tools() -> None:
    parameters = {"type": "object"}
    tools = [
        {"type": "function", "function": {"name": "f", "parameters": parameters}},
        {"type": "function", "function": {"name": "g"}},
        {"type": "custom", "custom": {"name": "c"}},
    ]
    assert shape_of({"tools": tools}).tools == {"f": parameters, "g": None, "c": None}
    assert shape_of({"tools": tools, "tool_choice": "none"}).tools == {}
    assert set(shape_of({"tools": tools, "tool_choice": "auto"}).tools) == {"f", "g", "c"}


@pytest.mark.parametrize(
    "body",
    [
        {"response_format": "json_object"},
        {"tools": {"type": "function"}},
        {"tools": [1, {"type": "function"}, {"type": 3}, {"type": "function", "function": "f"}]},
        {"response_format": {"type": "text", "json_schema": {"schema": {}}}},
    ],
)
def test_what_makes_no_sense_shapes_nothing(body: dict[str, Any]) -> None:
    assert shape_of(body) == Shape()


# texts

SYSTEM = {"role": "system", "content": "Sort."}


def test_one_turn_is_read_as_it_is() -> None:
    assert input_text({"messages": [SYSTEM, USER]}) == "where is my parcel"
    assert system_prompt({"messages": [SYSTEM, USER]}) == "Sort."


def test_a_conversation_begins_with_the_last_user_message() -> None:
    messages = [
        SYSTEM,
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    assert input_text({"messages": messages}) == "three\nassistant: two\nuser: one"


def test_what_follows_the_last_user_message_is_read_too() -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": '{"id": 4}'}}
    messages = [
        {"role": "user", "content": "where"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "in Kiel"},
    ]
    text = input_text({"messages": messages})
    assert text == 'where\ntool: in Kiel\nassistant: find({"id": 4})'


def test_long_texts_are_cut_at_the_end() -> None:
    messages = [{"role": "user", "content": "old"}, {"role": "user", "content": "x" * 3000}]
    assert input_text({"messages": messages}) == "x" * 2000
    messages = [{"role": "user", "content": "y" * 3000}, {"role": "user", "content": "new"}]
    text = input_text({"messages": messages})
    assert text.startswith("new\nuser: yyy")
    assert len(text) == 2000


def test_leading_instructions_are_the_system_prompt_and_later_ones_are_turns() -> None:
    messages = [
        SYSTEM,
        {
            "role": "developer",
            "content": [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}],
        },
        USER,
        {"role": "system", "content": "Hurry."},
    ]
    assert system_prompt({"messages": messages}) == "Sort.\n\nBe\nbrief."
    assert input_text({"messages": messages}) == "where is my parcel\nsystem: Hurry."


def test_no_turn_and_no_prompt() -> None:
    assert input_text({"messages": [SYSTEM]}) == ""
    assert system_prompt({"messages": [USER]}) == ""
    assert input_text({}) == ""


def test_half_a_character_does_not_reach_the_student() -> None:
    body = parse_chat(
        b'{"model":"m","messages":[{"role":"system","content":"a\\ud83d"},'
        b'{"role":"user","content":"b\\ud83d"}]}'
    ).body
    assert (system_prompt(body), input_text(body)) == ("a?", "b?")
    assert b"\\ud83d" in json.dumps(body).encode()  # the upstream gets what the client sent


# is_cascadable


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"n": 1},
        {"logprobs": False, "top_logprobs": 0, "logit_bias": {}},
        {"modalities": ["text"]},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]},
        {"temperature": 1.5, "seed": 3, "stop": ["\n"]},
    ],
)
def test_requests_that_a_draft_could_answer(fields: dict[str, Any]) -> None:
    assert is_cascadable({"messages": [USER], **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 2},
        {"logprobs": True},
        {"top_logprobs": 3},
        {"logit_bias": {"5": -100}},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x", "format": "wav"}},
        {"functions": [{"name": "f"}]},
        {"function_call": "auto"},
        {"prediction": {"type": "content", "content": "x"}},
        {"web_search_options": {}},
        {"tools": [{"type": "custom", "custom": {"name": "c"}}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]},
        {"messages": [USER, {"role": "assistant", "audio": {"id": "a"}}]},
        {"messages": [USER, {"role": "function", "name": "f", "content": "4"}]},
    ],
)
def test_requests_that_only_the_model_can_answer(fields: dict[str, Any]) -> None:
    assert not is_cascadable({"messages": [USER], **fields})
