"""The JSON comparer, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compare import get_comparer
from policies.types import Answer, Shape

JSON = get_comparer("json")


def key(text: str, schema: dict[str, Any] | None = None) -> str | None:
    return JSON.key(Answer(content=text), Shape(json=True, json_schema=schema))


def agrees(left: str, right: str, schema: dict[str, Any] | None = None) -> bool:
    shape = Shape(json=True, json_schema=schema)
    return JSON.agrees(Answer(content=left), Answer(content=right), shape)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('{"a": 1, "b": 2}', '{"b":2,"a":1}'),
        ('{"a": {"c": 1, "b": []}}', '\n{"a": {"b": [], "c": 1}}\n'),
        ('{"total": 644.90}', '{"total": 644.9}'),
        ("1e2", "100.0"),
        ('"\\u00e9"', '"é"'),
        ('"\\ud83d\\ude00"', '"😀"'),
        ('"a\\/b"', '"a/b"'),
        ("{}", "{ }"),
    ],
)
def test_how_a_document_is_written_does_not_count(left: str, right: str) -> None:
    assert agrees(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "1.0"),
        ("100", "1e2"),
        ("1", "true"),
        ("0", "false"),
        ("1", '"1"'),
        ("null", '"null"'),
        ("null", "false"),
        ("[]", "{}"),
        ('{"a": null}', "{}"),
        ('{"a": 1}', '{"A": 1}'),
        ('{"a": "x"}', '{"a": "X"}'),
        ('{"a": "x"}', '{"a": "x "}'),
        ('{"a": "é"}', '{"a": "e\u0301"}'),
        ('{"a": "１"}', '{"a": "1"}'),
        ('{"a": ""}', '{"a": null}'),
        ('{"a": 1}', '{"a": 1, "b": 2}'),
        ('{"a": 1}', '[{"a": 1}]'),
        ("[1, 2]", "[2, 1]"),
        ("[1]", "[1, 1]"),
        ("[[1], 2]", "[1, [2]]"),
        ('["a,b"]', '["a","b"]'),
        ('{"a": "b\\":\\"c"}', '{"a\\":\\"b": "c"}'),
        ('"fraction 1"', "1.0"),
        ("9007199254740993", "9007199254740992"),
        ("9" * 5000, "9" * 4999 + "8"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("2026-01-01", "2026"),
    ],
)
def test_another_document_disagrees(left: str, right: str) -> None:
    assert not agrees(left, right)
    assert agrees(right, right)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{'a': 1}",
        '{"a": 1,}',
        '{"a": 1} {"a": 1}',
        'Here: {"a": 1}',
        '{"a": 1}\nDone.',
        '```json\n{"a": 1}\n```',
        '```\n{"a": 1}\n```',
        '\ufeff{"a": 1}',
        '{"a": 1, "a": 1}',
        '{"a": 1, "\\u0061": 2}',
        '[{"b": {"a": 1, "a": 2}}]',
        '{"a": NaN}',
        "Infinity",
        "[-Infinity]",
        "01",
        "+1",
        ".5",
        "1.",
        "0x1",
        "1_000",
        "１",
        "True",
        "None",
        "undefined",
        '"a\nb"',
        '"\\x"',
        '{"a": 1 /* one */}',
        "{a: 1}",
        "1e99999999999999999999",
    ],
)
def test_what_is_not_json_agrees_with_nothing(text: str) -> None:
    assert key(text) is None
    assert not agrees(text, text)


def test_nesting_is_bounded() -> None:
    def nested(depth: int) -> str:
        return "[" * depth + "]" * depth

    assert key(nested(64)) is not None
    assert key('{"a":' * 64 + "1" + "}" * 64) is not None
    assert key(nested(65)) is None
    assert key('{"a":' * 65 + "1" + "}" * 65) is None
    assert key(nested(500_000)) is None


NUMBER = {"type": "number"}
STRING = {"type": "string"}
NUMBER_OR_NULL = {"anyOf": [NUMBER, {"type": "null"}]}
REFERRED = {"oneOf": [{"type": "object"}, {"$ref": "#/$defs/n"}], "$defs": {"n": NUMBER}}
NESTED = {"properties": {"a": {"properties": {"b": {"items": NUMBER}}}}}
LINKED = {
    "properties": {"v": NUMBER, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}},
}
ESCAPED = {
    "properties": {"a/b": {"$ref": "#/$defs/x~1y~0"}},
    "$defs": {"x/y~": NUMBER},
}


@pytest.mark.parametrize(
    ("left", "right", "schema"),
    [
        ("1", "1.0", NUMBER),
        ("1", "1.0", {"type": "integer"}),
        ("100", "1e2", NUMBER),
        ("1", "1.0", {"type": ["number", "null"]}),
        ("1", "1.0", {"type": ["string", "number"]}),
        ("1", "1.0", NUMBER_OR_NULL),
        ("1", "1.0", REFERRED),
        ("1", "1.0", {"allOf": [NUMBER]}),
        ("1", "1.0", {"type": "Float"}),
        ('{"a": 1}', '{"a": 1.0}', {"properties": {"a": NUMBER}}),
        ('{"a": 1}', '{"a": 1.0}', {"additionalProperties": NUMBER}),
        ('{"a": {"b": [1]}}', '{"a": {"b": [1.0]}}', NESTED),
        ('["x", 1, 2]', '["x", 1.0, 2.0]', {"prefixItems": [STRING], "items": NUMBER}),
        ('["x", 1]', '["x", 1.0]', {"items": [STRING, NUMBER]}),
        ('["x", 1]', '["x", 1.0]', {"items": [STRING], "additionalItems": NUMBER}),
        ('{"next": {"v": 2, "next": null}}', '{"next": {"next": null, "v": 2.0}}', LINKED),
        ('{"a/b": 1}', '{"a/b": 1.0}', ESCAPED),
    ],
)
def test_numbers_count_by_value_where_the_schema_wants_numbers(
    left: str, right: str, schema: dict[str, Any]
) -> None:
    assert agrees(left, right, schema)
    assert not agrees(left, right)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "string"},
        {"type": "any"},
        {"type": ["number", "any"]},
        {"type": 5},
        {"type": [["number"]]},
        {"enum": [1]},
        {"const": 1},
        {"minimum": 0},
        {"anyOf": [{"type": "number"}, {}]},
        {"anyOf": [{"type": "number"}, True]},
        {"anyOf": "number"},
        {"anyOf": [{"type": "number"}, {"$ref": "https://example.com/schema"}]},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"$ref": ["#"]},
        {"$ref": "#/minimum/n", "minimum": 0},
        {"properties": {"a": {"type": "number"}}},
        {"items": {"type": "number"}},
        {"not": {"type": "number"}},
    ],
)
def test_a_schema_that_does_not_plainly_want_a_number_leaves_the_rule_strict(
    schema: dict[str, Any],
) -> None:
    assert not agrees("1", "1.0", schema)
    assert agrees("1", "1", schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"type": "string"}, "b": {"type": "number"}}},
        {"properties": {"b": {"type": "number"}}},
        {"properties": {"a": True}},
        {"properties": ["a"]},
        {"properties": {"a": "number"}},
        {"additionalProperties": True},
        {"additionalProperties": {"type": "number"}, "properties": {"a": {"type": "string"}}},
        {"additionalProperties": {"type": "number"}, "patternProperties": {"^a": {}}},
        {"items": {"type": "number"}},
        {"type": "number"},
    ],
)
def test_a_number_wanted_elsewhere_does_not_count_here(schema: dict[str, Any]) -> None:
    assert not agrees('{"a": 1}', '{"a": 1.0}', schema)


def test_a_schema_relaxes_numbers_and_nothing_else() -> None:
    schema = {"type": "number"}
    assert not agrees("1", "2", schema)
    assert not agrees("1", "true", schema)
    assert not agrees("1", '"1"', schema)
    assert not agrees("9007199254740993", "9007199254740992.0", schema)
    assert not agrees("1", "null", schema)


def test_defaults_are_not_filled_in() -> None:
    schema = {"properties": {"a": {"type": "integer", "default": 1}}}
    assert not agrees('{"a": 1}', "{}", schema)


DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.text(max_size=2)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(DOCUMENTS, DOCUMENTS)
def test_documents_agree_exactly_where_their_sorted_dumps_are_equal(left: Any, right: Any) -> None:
    expected = json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)
    assert agrees(json.dumps(left), json.dumps(right, indent=1)) == expected


@settings(deadline=None)
@given(DOCUMENTS)
def test_a_document_agrees_with_itself_rewritten(document: Any) -> None:
    assert agrees(
        json.dumps(document, indent=2), json.dumps(document, sort_keys=True, ensure_ascii=False)
    )
