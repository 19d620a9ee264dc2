"""The tool-call comparer."""

from __future__ import annotations

import itertools

import pytest

from policies.compare import get_comparer
from policies.types import Answer, Shape, ToolCall

TOOLS = get_comparer("tool_calls")
SHAPE = Shape(
    tools={
        "pay": {
            "type": "object",
            "properties": {
                "amount": {"type": "number"},
                "to": {"type": "string"},
                "note": {"type": "string", "default": ""},
                "extra": {},
            },
        },
        "ping": None,
        "Ping": None,
    }
)


def call(name: str, arguments: str, id: str | None = None) -> ToolCall:
    return ToolCall(name=name, arguments=arguments, id=id)


def answer(*calls: ToolCall, content: str | None = None) -> Answer:
    return Answer(content=content, tool_calls=calls, finish_reason="tool_calls")


def agrees(left: Answer, right: Answer, shape: Shape = SHAPE) -> bool:
    return TOOLS.agrees(left, right, shape)


PAY = call("pay", '{"amount": 5, "to": "Ann"}', "call_1")
PING = call("ping", "{}", "call_2")


@pytest.mark.parametrize(
    "arguments",
    [
        '{"to":"Ann","amount":5}',
        '{ "amount": 5.0, "to": "Ann" }',
        '{"amount": 50e-1, "to": "\\u0041nn"}',
    ],
)
def test_arguments_are_compared_as_json_under_the_schema(arguments: str) -> None:
    assert agrees(answer(PAY), answer(call("pay", arguments, "another id")))


@pytest.mark.parametrize(
    "other",
    [
        call("pay", '{"amount": 5.01, "to": "Ann"}'),
        call("pay", '{"amount": "5", "to": "Ann"}'),
        call("pay", '{"amount": 5, "to": "ann"}'),
        call("pay", '{"amount": 5, "to": "Ann "}'),
        call("pay", '{"amount": 5}'),
        call("pay", '{"amount": 5, "to": "Ann", "note": ""}'),
        call("pay", '{"amount": 5, "to": "Ann", "note": null}'),
        call("ping", '{"amount": 5, "to": "Ann"}'),
    ],
)
def test_another_name_or_argument_disagrees(other: ToolCall) -> None:
    assert agrees(answer(other), answer(other))
    assert not agrees(answer(PAY), answer(other))


def test_names_are_exact() -> None:
    assert not agrees(answer(PING), answer(call("Ping", "{}")))


def test_numbers_are_strict_where_no_schema_wants_them() -> None:
    for name, field in (("pay", "extra"), ("ping", "n")):
        whole, fraction = (call(name, f'{{"{field}": {n}}}') for n in ("1", "1.0"))
        assert not agrees(answer(whole), answer(fraction))
        assert agrees(answer(fraction), answer(fraction))


def test_each_call_is_read_under_its_own_schema() -> None:
    whole = answer(call("pay", '{"amount": 1}'), call("ping", '{"amount": 1}'))
    mixed = answer(call("ping", '{"amount": 1}'), call("pay", '{"amount": 1.0}'))
    wrong = answer(call("ping", '{"amount": 1.0}'), call("pay", '{"amount": 1}'))
    assert agrees(whole, mixed)
    assert not agrees(whole, wrong)


def test_the_order_of_parallel_calls_does_not_count_but_their_number_does() -> None:
    calls = (PAY, PING, call("pay", '{"amount": 7}'))
    for order in itertools.permutations(calls):
        assert agrees(answer(*calls), answer(*order))
    assert not agrees(answer(PING), answer(PING, PING))
    assert not agrees(answer(PAY, PING), answer(PAY))
    assert not agrees(answer(PAY, PING, PING), answer(PAY, PAY, PING))


def test_words_beside_calls_do_not_count_but_words_instead_of_calls_do() -> None:
    assert agrees(answer(PING, content="On it."), answer(PING))
    assert not agrees(answer(PING, content="On it."), Answer(content="On it."))
    assert agrees(Answer(content="Which card?"), Answer(content="Which card?\n"))
    assert not agrees(Answer(content="Which card?"), Answer(content="Which order?"))


def test_words_that_spell_a_call_are_no_call() -> None:
    key = TOOLS.key(answer(PING), SHAPE)
    assert key is not None
    assert not agrees(answer(PING), Answer(content=key))
    assert not agrees(answer(PING), Answer(content=key.removeprefix("calls:")))


def test_answers_without_calls_are_json_where_the_request_wanted_json() -> None:
    shape = Shape(json=True, tools=SHAPE.tools)
    assert agrees(Answer(content='{"a":1}'), Answer(content='{ "a": 1 }'), shape)
    assert not agrees(Answer(content='{"a":1}'), Answer(content='{ "a": 1 }'))
    assert TOOLS.key(Answer(content="Which card?"), shape) is None


@pytest.mark.parametrize(
    "bad",
    [
        call("transfer", "{}"),
        call("", "{}"),
        call("ping ", "{}"),
        call("ping", ""),
        call("ping", "null"),
        call("ping", "[]"),
        call("ping", '"{}"'),
        call("ping", "{"),
        call("ping", "{}{}"),
        call("ping", '{"a": 1, "a": 1}'),
        call("ping", '{"a": NaN}'),
        call("ping", "```json\n{}\n```"),
        call("ping", '{"a":' + "[" * 80 + "]" * 80 + "}"),
    ],
)
def test_an_unreadable_call_agrees_with_nothing(bad: ToolCall) -> None:
    assert TOOLS.key(answer(bad), SHAPE) is None
    assert TOOLS.key(answer(PING, bad), SHAPE) is None
    assert not agrees(answer(bad), answer(bad))


@pytest.mark.parametrize("name", ['a":{},"b', "a:{},b"])
def test_strange_tool_names_can_not_imitate_two_calls(name: str) -> None:
    shape = Shape(tools={name: None, "a": None, "b": None})
    both = answer(call("a", "{}"), call("b", "{}"))
    assert not agrees(both, answer(call(name, "{}")), shape)
    assert agrees(both, both, shape)
