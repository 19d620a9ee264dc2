"""What breaks the form that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from policies.types import Answer, Shape, ToolCall
from router.evidence.format import find_format_fault

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "total": {"type": "number"},
        "count": {"type": "integer"},
        "kind": {"enum": ["a", "b"]},
        "lines": {"type": "array", "items": {"type": "object", "required": ["sku"]}},
        "note": {"type": ["string", "null"]},
    },
    "required": ["total"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("content", "fits"),
    [
        ('{"total": 1.5, "count": 2.0, "kind": "a", "lines": [{"sku": 1}], "note": null}', True),
        ('{"total": "1.5"}', False),
        ('{"total": true}', False),
        ('{"total": 1, "count": 1.5}', False),
        ('{"total": 1, "kind": "c"}', False),
        ('{"total": 1, "lines": [{}]}', False),
        ('{"total": 1, "more": 1}', False),
        ('{"count": 1}', False),
        ("[]", False),
        ('{"total": 1', False),
        ('```json\n{"total": 1}\n```', False),
    ],
)
def test_a_schema(content: str, fits: bool) -> None:
    fault = find_format_fault(Shape(json=True, json_schema=SCHEMA), None, Answer(content=content))
    assert (fault is None) is fits


def test_json_is_wanted_by_the_request_or_by_how_answers_are_compared() -> None:
    words = Answer(content="well")
    assert find_format_fault(Shape(), "text", words) is None
    assert find_format_fault(Shape(), "json", words) == "it is no JSON"
    assert find_format_fault(Shape(json=True), None, words) == "it is no JSON"
    assert find_format_fault(Shape(json=True), None, Answer(content="{}")) is None


def test_calls_must_name_an_offered_tool_and_hold_an_object() -> None:
    shape = Shape(tools={"track": None})

    def fault(name: str, arguments: str) -> str | None:
        calls = (ToolCall(name=name, arguments=arguments),)
        return find_format_fault(shape, None, Answer(content=None, tool_calls=calls))

    assert fault("track", '{"id": 1}') is None
    assert fault("trace", "{}") is not None
    assert fault("track", "[1]") is not None
    assert fault("track", '{"id": ') is not None
