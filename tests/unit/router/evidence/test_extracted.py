from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.types import Answer
from router.evidence.extracted import MOST_CHARS, MOST_VALUES, check_values
from router.evidence.measure import measure_draft

QUESTION = "Invoice 42479/T25 of 3 Feb 2026\nSeller: Vardabrook GmbH\nTotal €1.204,50, due Net 21"


def place_of(value: object, question: str = QUESTION) -> str:
    found = check_values(question, json.dumps({"field": value}))
    (name,) = [name for name, count in found.items() if count]
    assert found[name] == pytest.approx(math.log1p(1))
    return name.removeprefix("value_")


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("42479/T25", "whole"),
        ("42479", "part"),  # cut short
        ("T25", "part"),
        ("vardabrook gmbh", "whole"),  # case is form
        ("Vardabrook", "whole"),
        ("brook GmbH", "part"),
        ("Vandabrook GmbH", "absent_text"),
        (1204.5, "whole"),
        (-1204.5, "whole"),  # the sign may be a word
        (1204, "absent_number"),
        ("2026-02-03", "whole"),
        ("2026-02-24", "absent_date"),  # worked out
        (None, "null"),
        ("", "null"),
    ],
)
def test_each_value_has_a_place(value: object, place: str) -> None:
    assert place_of(value) == place


@pytest.mark.parametrize(
    "written",
    ["05.06.2026", "5/6/26", "2026-06-05", "5th June, 2026", "June 5, 2026", "06/05/2026"],
)
def test_a_day_is_found_in_the_usual_orders(written: str) -> None:
    assert place_of("2026-06-05", f"from {written} on") == "whole"
    assert place_of("2026-06-15", f"from {written} on") == "absent_date"


@pytest.mark.parametrize("number", ["1,204.50", "1.204,50", "1204.5", "1'204.50", "1\u00a0204,50"])
def test_a_number_is_found_however_it_is_grouped(number: str) -> None:
    assert place_of(1204.50, f"EUR {number}.") == "whole"


@pytest.mark.parametrize("number", ["1e9999999", "-1e-9999999", "9" * 5000])
def test_any_number_has_a_place(number: str) -> None:
    found = check_values(f"no. {number[:5000]}", f'{{"field": {number}}}')
    assert sum(round(math.expm1(count)) for count in found.values()) == 1
    assert bool(found["value_whole"]) == number.isdecimal()


def test_values_within_each_other_are_counted_and_truth_values_not() -> None:
    document = {"lines": [{"id": "42479/T25"}, {"id": None}], "paid": True, "by": "Zorn"}
    found = check_values(QUESTION, json.dumps(document))
    assert {name: round(math.expm1(count)) for name, count in found.items()} == {
        "value_whole": 1,
        "value_part": 0,
        "value_null": 1,
        "value_absent_date": 0,
        "value_absent_number": 0,
        "value_absent_text": 1,
    }


@pytest.mark.parametrize("content", ["", "no JSON", '{"a": ', "12", '"text"', "[" * 100_000])
def test_what_is_no_document_has_no_values(content: str) -> None:
    assert check_values(QUESTION, content) == {}


def test_long_questions_are_left_alone_and_hostile_ones_stay_quick() -> None:
    assert check_values("1" * (MOST_CHARS + 1), "{}") == {}
    hostile = [
        ("a" * MOST_CHARS, "aa"),
        ("1," * (MOST_CHARS // 2), "1"),
        ("1 1 1 " * (MOST_CHARS // 6), "1"),
    ]
    for question, value in hostile:
        began_s = time.process_time()
        found = check_values(question, json.dumps([value] * 10 * MOST_VALUES))
        assert sum(round(math.expm1(count)) for count in found.values()) == MOST_VALUES
        assert time.process_time() - began_s < 2.0  # quadratic would take minutes


documents = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | st.just("2026-99-99"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
)


@given(document=documents, question=st.text(max_size=200))
def test_any_document_and_question_give_finite_counts(document: Any, question: str) -> None:
    found = check_values(question, json.dumps(document))
    assert all(math.isfinite(count) and count >= 0 for count in found.values())


def test_a_json_draft_is_held_against_the_users_words() -> None:
    system = {"role": "system", "content": "Known sellers: Zorn Ltd"}
    body = {"messages": [system, {"role": "user", "content": QUESTION}]}
    found = measure_draft(body, Answer(content='{"seller": "Zorn Ltd"}'))
    assert found["value_absent_text"] > 0 == found["value_whole"]
    assert "q_numbers" not in found
