"""Streams of all kinds of servers assemble to the same answer."""

from __future__ import annotations

from typing import Any

import pytest

from policies.types import Answer, ToolCall
from router.wire.openai import StreamAssembler


def assemble(*deltas: dict[str, Any] | None, finish: str | None = None) -> StreamAssembler:
    assembler = StreamAssembler()
    for delta in deltas:
        assembler.feed({"model": "m", "choices": [{"index": 0, "delta": delta}]})
    if finish is not None:
        assembler.feed({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    return assembler


def call(index: int | None, id: str | None = None, **function: Any) -> dict[str, Any]:
    part: dict[str, Any] = {"function": function}
    if index is not None:
        part["index"] = index
    if id is not None:
        part["id"] = id
    return {"tool_calls": [part]}


FIND_AND_MAIL = (
    ToolCall(name="find", arguments='{"id": 4}', id="a"),
    ToolCall(name="mail", arguments="{}", id="b"),
)


def test_text_in_pieces() -> None:
    result = assemble({"role": "assistant", "content": ""}, {"content": "bil"}, {"content": "ling"})
    assert result.answer.content == "billing"
    assert (result.finish_reason, result.whole, result.chunks) == (None, False, 3)


def test_the_finish_reason_makes_it_whole() -> None:
    result = assemble({"content": "a"}, finish="length")
    assert (result.answer.finish_reason, result.finish_reason, result.whole) == (
        "length",
        "length",
        True,
    )


def test_refusals() -> None:
    answer = assemble({"refusal": "I "}, {"refusal": "can't."}, finish="stop").answer
    assert (answer.content, answer.refusal) == (None, "I can't.")


def test_an_empty_text_is_a_text_and_nothing_is_none() -> None:
    assert assemble({"role": "assistant", "content": ""}, finish="stop").answer.content == ""
    assert assemble(finish="stop").answer.content is None


@pytest.mark.parametrize(
    "deltas",
    [
        pytest.param(
            [
                call(0, "a", name="find", arguments=""),
                call(1, "b", name="mail", arguments=""),
                call(0, arguments='{"id"'),
                call(1, arguments="{}"),
                call(0, arguments=": 4}"),
            ],
            id="interleaved",
        ),
        pytest.param(
            [
                call(0, "a", name="find", arguments='{"id": 4}'),
                call(1, "b", name="mail", arguments="{}"),
            ],
            id="whole calls",
        ),
        pytest.param(
            [
                call(0, "a", name="find", arguments='{"id'),
                call(0, "a", name="find", arguments='": 4}'),
                call(1, "b", name="mail", arguments="{}"),
            ],
            id="name and id repeated",
        ),
        pytest.param(
            [
                call(None, "a", name="find", arguments='{"id": 4}'),
                call(None, "b", name="mail", arguments="{}"),
            ],
            id="no index",
        ),
        pytest.param(
            [
                call(0, "a", name="find", arguments='{"id": 4}'),
                call(0, "b", name="mail", arguments="{}"),
            ],
            id="one index for all",
        ),
        pytest.param(
            [
                call(0, "a", name="fi", arguments=""),
                call(0, name="nd", arguments='{"id": 4}'),
                call(1, "b", name="mail", arguments="{}"),
            ],
            id="name in pieces",
        ),
    ],
)
def test_parallel_tool_calls(deltas: list[dict[str, Any]]) -> None:
    answer = assemble({"role": "assistant", "content": ""}, *deltas, finish="tool_calls").answer
    assert answer.tool_calls == FIND_AND_MAIL
    assert answer.content is None


def test_the_retired_function_call() -> None:
    answer = assemble(
        {"function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
        finish="function_call",
    ).answer
    assert answer.tool_calls == (ToolCall(name="f", arguments="{}"),)


def test_only_the_first_choice_is_the_answer_but_all_must_finish() -> None:
    assembler = StreamAssembler(n=2)
    for index, text in ((1, "no"), (0, "yes")):
        assembler.feed({"choices": [{"index": index, "delta": {"content": text}}]})
    assembler.feed({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    assert (assembler.answer.content, assembler.whole) == ("yes", False)
    assembler.feed({"choices": [{"index": 1, "delta": {}, "finish_reason": "length"}]})
    assert (assembler.finish_reason, assembler.whole) == ("stop", True)


def test_the_last_usage_counts_and_null_does_not() -> None:
    assembler = StreamAssembler()
    for usage in ({"completion_tokens": 1}, {"completion_tokens": 2}, None):
        assembler.feed({"choices": [], "usage": usage})
    assert assembler.usage == {"completion_tokens": 2}
    assert StreamAssembler().usage is None


def test_what_makes_no_sense_is_passed_over() -> None:
    assembler = assemble(
        None,
        {"content": 4},
        {"tool_calls": "x"},
        {"tool_calls": [3, {"index": "x", "function": "f"}]},
        {"content": "ok"},
        finish="stop",
    )
    senseless: list[dict[str, Any]] = [
        {},
        {"choices": None},
        {"choices": [None]},
        {"choices": {}},
        {"usage": 3},
    ]
    for chunk in senseless:
        assembler.feed(chunk)
    assert assembler.answer == Answer(content="ok", finish_reason="stop")
    assert assembler.usage is None
