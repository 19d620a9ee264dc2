"""Which requests count as the same question."""

from __future__ import annotations

from typing import Any

import pytest

from router.students.question import fold_question, identify


def body(text: Any = "Where is my parcel?", **more: Any) -> dict[str, Any]:
    system = {"role": "system", "content": "Sort the message."}
    return {"model": "auto", "messages": [system, {"role": "user", "content": text}], **more}


def same(one: dict[str, Any], other: dict[str, Any], **where: str) -> bool:
    def named(request: dict[str, Any], **change: str) -> str:
        return identify(request, **{"teacher": "big", "tenant": "shop"} | change)

    return named(one) == named(other, **where)


@pytest.mark.parametrize(
    "other",
    [
        "where is my parcel",
        "  Where  is my\tparcel ?! ",
        [{"type": "text", "text": "WHERE IS MY PARCEL?"}],
    ],
)
def test_case_space_and_the_marks_at_the_end_make_no_difference(other: Any) -> None:
    assert same(body(), body(other))


@pytest.mark.parametrize(
    "other",
    [
        "Where is my parcel 5?",
        "Where is my parcels?",
        "Where-is my parcel?",
        "Where is my parcel?\nThanks",
        [{"type": "text", "text": "Where is"}, {"type": "text", "text": "my parcel?"}],
    ],
)
def test_any_other_word_or_sign_does(other: Any) -> None:
    assert not same(body(), body(other))


def test_marks_after_a_number_or_a_letter_and_the_inside_of_lines_stay() -> None:
    assert fold_question("What is 5!") == "what is 5!"
    assert fold_question("Is it x?") == "is it x?"
    assert fold_question(" def F():\n    return X. \n") == "def F():\n    return X."


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": 0.7},
        {"seed": 1},
        {"max_tokens": 5},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"a_field_of_tomorrow": True},
    ],
)
def test_everything_else_of_a_request_is_part_of_its_question(change: dict[str, Any]) -> None:
    assert not same(body(), body(**change))


def test_instructions_turns_tenant_and_teacher_are_too() -> None:
    other = body()
    other["messages"] = [{"role": "system", "content": "sort the message."}, other["messages"][1]]
    assert not same(body(), other)
    earlier = {"role": "user", "content": "Hello"}
    said = {"role": "assistant", "content": "Hi"}
    longer = {**body(), "messages": [*body()["messages"][:1], earlier, said, body()["messages"][1]]}
    shouted = {**longer, "messages": [longer["messages"][0], {**earlier, "content": "HELLO"}]}
    shouted["messages"] += longer["messages"][2:]
    assert not same(body(), longer)
    assert not same(longer, shouted)
    assert not same(body(), body(), tenant="other")
    assert not same(body(), body(), teacher="other")


def test_what_can_not_change_an_answer_is_not() -> None:
    streamed = body(stream=True, stream_options={"include_usage": True}, user="u1", metadata={})
    assert same(body(), {**streamed, "model": "big-70b", "temperature": None})
