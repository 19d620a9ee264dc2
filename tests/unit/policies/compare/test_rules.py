"""What holds for every comparer."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compare import COMPARERS, Comparer
from policies.types import Answer, Shape, ToolCall

NUMERIC = {"type": "object", "properties": {"n": {"type": "number"}}}
SHAPE = Shape(json=True, json_schema=NUMERIC, tools={"pay": NUMERIC, "ping": None})

# Small alphabets, so that agreement between two different answers is common.
LABELS = st.text(alphabet='aAbIıİßſée\u0301_-\u2010 .!?"“”’\n\u200b\ufeff1²１ﬁ+#', max_size=6)
NUMBERS = st.from_regex(r"[-+]?[$€]? ?[01][0,]{0,5}(\.[05]{1,2})?(e[12])?[%]?", fullmatch=True)
VALUES = st.recursive(
    st.sampled_from(["1", "1.0", "1.00", "10e-1", "0", "-0", "true", "null", '"1"', '"é"', "NaN"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(st.tuples(st.sampled_from("nm"), inner), max_size=2).map(
            lambda members: "{" + ",".join(f'"{name}": {value}' for name, value in members) + "}"
        ),
    ),
    max_leaves=4,
)
TEXTS = st.one_of(LABELS, NUMBERS, VALUES, st.text(max_size=4))
CALLS = st.builds(
    ToolCall,
    name=st.sampled_from(["pay", "ping", "unknown"]),
    arguments=st.sampled_from(
        ["{}", '{"n": 1}', '{"n":1.0}', '{"m":1,"n":2}', '{"n":2,"m":1}', "[]", ""]
    ),
    id=st.sampled_from([None, "a", "b"]),
)
ANSWERS = st.builds(
    Answer,
    content=st.one_of(st.none(), TEXTS),
    tool_calls=st.one_of(st.just(()), st.lists(CALLS, max_size=3).map(tuple)),
    refusal=st.sampled_from([None, None, None, None, "", "No.", "I can't."]),
    finish_reason=st.sampled_from([None, "stop", "stop", "tool_calls", "length"]),
)
EVERY = pytest.mark.parametrize("comparer", COMPARERS.values(), ids=list(COMPARERS))


@EVERY
@settings(deadline=None)
@given(answers=st.lists(ANSWERS, min_size=3, max_size=3))
def test_agreement_is_an_equivalence_and_is_equality_of_keys(
    comparer: Comparer, answers: list[Answer]
) -> None:
    one, two, three = answers

    def agrees(left: Answer, right: Answer) -> bool:
        return comparer.agrees(left, right, SHAPE)

    keys = [comparer.key(answer, SHAPE) for answer in answers]
    assert agrees(one, one) == (keys[0] is not None)
    assert agrees(one, two) == (keys[0] is not None and keys[0] == keys[1])
    assert agrees(one, two) == agrees(two, one)
    if agrees(one, two) and agrees(two, three):
        assert agrees(one, three)


@EVERY
@settings(deadline=None)
@given(text=st.text(), arguments=st.text())
def test_nothing_that_a_model_writes_raises(comparer: Comparer, text: str, arguments: str) -> None:
    calls = (ToolCall(name="pay", arguments=arguments),)
    for answer in (
        Answer(content=text),
        Answer(content=text, tool_calls=calls),
        Answer(content=None, refusal=text),
    ):
        key = comparer.key(answer, SHAPE)
        assert key is None or key.encode()


@EVERY
@settings(deadline=None)
@given(left=st.text(max_size=8), right=st.text(max_size=8))
def test_texts_without_a_common_character_never_agree(
    comparer: Comparer, left: str, right: str
) -> None:
    # "x" and "y" survive every fold, so the two can't meet however the rest is folded.
    assert not comparer.agrees(Answer(content=f"x{left}"), Answer(content=f"y{right}"), SHAPE)


@EVERY
@pytest.mark.parametrize("content", ["42", '{"n": 42}'])
@pytest.mark.parametrize(
    "finish_reason", ["length", "content_filter", "error", "abort", "LENGTH", "never heard of"]
)
def test_an_unfinished_answer_agrees_with_nothing(
    comparer: Comparer, content: str, finish_reason: str
) -> None:
    whole = Answer(content=content, finish_reason="stop")
    cut = Answer(content=content, finish_reason=finish_reason)
    assert comparer.key(cut, SHAPE) is None
    assert not comparer.agrees(cut, cut, SHAPE)
    assert not comparer.agrees(whole, cut, SHAPE)


@EVERY
@pytest.mark.parametrize("finish_reason", ["stop", "tool_calls", "end_turn", "eos_token"])
def test_how_a_finished_answer_names_its_end_does_not_count(
    comparer: Comparer, finish_reason: str
) -> None:
    named = Answer(content="42", finish_reason=finish_reason)
    assert comparer.agrees(Answer(content="42"), named, SHAPE)


@EVERY
@pytest.mark.parametrize("content", [None, "", " ", "\n\t\u00a0\r\n"])
def test_an_answer_that_says_nothing_agrees_with_nothing(
    comparer: Comparer, content: str | None
) -> None:
    answer = Answer(content=content, finish_reason="stop")
    assert comparer.key(answer, SHAPE) is None
    assert not comparer.agrees(answer, answer, SHAPE)


@EVERY
def test_a_refusal_agrees_only_with_the_same_refusal(comparer: Comparer) -> None:
    refusal = Answer(content=None, refusal="42")
    assert comparer.agrees(refusal, Answer(content="", refusal="42\r\n"), SHAPE)
    assert not comparer.agrees(refusal, Answer(content=None, refusal="43"), SHAPE)
    assert not comparer.agrees(refusal, Answer(content="42"), SHAPE)
    assert not comparer.agrees(refusal, Answer(content="refusal:42"), SHAPE)
    assert not comparer.agrees(refusal, Answer(content='"refusal:42"'), SHAPE)


@EVERY
def test_refusing_and_answering_at_once_agrees_with_nothing(comparer: Comparer) -> None:
    call = ToolCall(name="ping", arguments="{}")
    for answer in (
        Answer(content="42", refusal="No."),
        Answer(content=None, refusal="No.", tool_calls=(call,)),
    ):
        assert comparer.key(answer, SHAPE) is None


@EVERY
def test_an_empty_refusal_is_none(comparer: Comparer) -> None:
    assert comparer.agrees(Answer(content="42", refusal=""), Answer(content="42"), SHAPE)


@EVERY
@pytest.mark.parametrize("text", ['"\ud800"', "\udc00", '"\ud83d\ude00"'])
def test_text_that_is_not_unicode_agrees_with_nothing(comparer: Comparer, text: str) -> None:
    assert comparer.key(Answer(content=text), SHAPE) is None
    assert comparer.key(Answer(content=None, refusal=text), SHAPE) is None
    call = ToolCall(name="ping", arguments=f'{{"a": {text}}}')
    assert comparer.key(Answer(content=None, tool_calls=(call,)), SHAPE) is None


@pytest.mark.parametrize("name", ["label", "json", "number", "solution", "text"])
def test_an_answer_with_tool_calls_is_for_tool_calls_alone(name: str) -> None:
    call = ToolCall(name="ping", arguments="{}")
    answer = Answer(content="42", tool_calls=(call,))
    assert COMPARERS[name].key(answer, SHAPE) is None
    assert not COMPARERS[name].agrees(Answer(content="42"), answer, SHAPE)
    assert COMPARERS["tool_calls"].key(answer, SHAPE) is not None


@EVERY
def test_a_key_says_what_kind_of_answer_it_stands_for(comparer: Comparer) -> None:
    key = comparer.key(Answer(content="42"), SHAPE)
    assert key is not None
    kind = "json" if comparer.name == "tool_calls" else comparer.name
    assert key.startswith(f"{kind}:")


def test_long_answers_are_compared_in_reasonable_time() -> None:
    # Quadratic folding would take minutes here.
    text = "a-" * 100_000 + '"' * 1000
    document = json.dumps({"n": [1] * 20_000, "m": text})
    call = ToolCall(name="pay", arguments=document)
    for name, answer in (
        ("label", Answer(content=text)),
        ("text", Answer(content=text)),
        ("number", Answer(content="1" * 200_000)),
        ("solution", Answer(content="1 + 1 = 2. " * 20_000 + "{" * 50_000 + "\n#### 2")),
        ("solution", Answer(content="the answer is 1 + 1 = 2. " * 20_000 + "\nThe answer is 2")),
        ("json", Answer(content=document)),
        ("tool_calls", Answer(content=None, tool_calls=(call,))),
    ):
        assert COMPARERS[name].agrees(answer, answer, SHAPE)
