"""Finding a comparer by name, and by what a workload looks like."""

from __future__ import annotations

import pytest

from policies.compare import COMPARERS, choose_comparer, get_comparer
from policies.types import Answer, Shape, ToolCall


def test_every_comparer_of_the_contract_is_known_by_its_name() -> None:
    assert set(COMPARERS) == {"label", "json", "tool_calls", "number", "solution", "text"}
    for name in COMPARERS:
        assert get_comparer(name).name == name


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"'fuzzy'.*label, json, tool_calls, number, solution, text"
    ):
        get_comparer("fuzzy")


def test_the_registry_can_not_be_changed() -> None:
    with pytest.raises(TypeError):
        COMPARERS["mine"] = COMPARERS["text"]  # type: ignore[index]


def said(*texts: str | None) -> list[Answer]:
    return [Answer(content=text) for text in texts]


CALLING = Answer(content=None, tool_calls=(ToolCall(name="f", arguments="{}"),))
REFUSING = Answer(content=None, refusal="I am sorry,\nbut I can't.")
CUT = Answer(content="I can't say\nwhich", finish_reason="length")


SOLVED = "He runs 3 * 60 = 180 meters a day.\nIn a week he runs 180 * 3 = 540 meters."
MARKED = "Half of 8 is left.\n#### 4"


@pytest.mark.parametrize(
    ("answers", "name"),
    [
        (said("card_arrival", "Card arrival.\n"), "label"),
        (said("x" * 80, "y"), "label"),
        (said("x" * 81, "y"), "text"),
        (said("x" * 80 + "  \n"), "label"),
        (said("yes", "yes\nno"), "text"),
        (said("yes", "yes\u2028no"), "text"),
        (said("yes", None, " "), "label"),
        ([*said("yes"), REFUSING, CUT], "label"),
        ([REFUSING, CUT], "text"),
        (said(None), "text"),
        ([], "text"),
        ([*said("yes"), CALLING], "tool_calls"),
        (said("42", "43"), "label"),
        (said(SOLVED, MARKED), "solution"),
        (said(SOLVED, "Yes.\nBut no."), "text"),
        (said("It costs 3 * 5 = 15 dollars.\nWe charge you $15."), "text"),
        (said("#### 42"), "label"),
    ],
)
def test_words_are_labels_only_where_all_are_short_lines(answers: list[Answer], name: str) -> None:
    assert choose_comparer(Shape(), answers) == name


def test_calls_outrank_json_and_json_outranks_labels() -> None:
    shape = Shape(json=True)
    assert choose_comparer(shape, [CALLING, *said("{}")]) == "tool_calls"
    assert choose_comparer(shape, said("yes")) == "json"
    assert choose_comparer(shape, []) == "json"


def test_tools_that_nobody_calls_do_not_make_tool_calls() -> None:
    assert choose_comparer(Shape(tools={"f": None}), said("yes")) == "label"
