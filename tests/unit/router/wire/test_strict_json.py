"""JSON is read strictly: what two parsers could read differently is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.strict_json import JsonError, load_json, make_well_formed


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "Expecting value"),
        (b'{"a": 1', "line 1 column 8"),
        (b"{'a': 1}", "double quotes"),
        (b'{"a": 1} x', "Extra data"),
        (b'{"a": "\xff"}', "UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "UTF-8"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "-Infinity"),
        (b'{"a": 1e999}', "1e999"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' is given twice"),
        (b'[{"x": {"k": 1, "k": 1}}]', "'k' is given twice"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too many digits"),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper"),
        (b"[" * 101 + b"]" * 101, "nested deeper"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "nested deeper"),
    ],
)
def test_what_is_refused_says_why(raw: bytes, said: str) -> None:
    with pytest.raises(JsonError, match=r"^is ") as caught:
        load_json(raw)
    assert said in str(caught.value)


def test_a_hundred_levels_are_allowed() -> None:
    assert load_json(b"[" * 100 + b"]" * 100) is not None
    assert load_json(b'{"a":' * 100 + b"1" + b"}" * 100)["a"]["a"]


def test_brackets_in_texts_are_no_levels() -> None:
    assert load_json(json.dumps({"a": "[{" * 500}).encode()) == {"a": "[{" * 500}


def test_many_shallow_containers_are_not_deep() -> None:
    assert len(load_json(json.dumps([{}] * 500).encode())) == 500


def test_a_byte_order_mark_is_ignored() -> None:
    assert load_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_everything_else_reads_as_python_reads_it(value: Any) -> None:
    assert load_json(json.dumps(value).encode()) == value


def test_half_a_character_is_replaced_and_nothing_else() -> None:
    assert make_well_formed("ab\ud83d") == "ab?"
    assert make_well_formed("grüß 😀") == "grüß 😀"
