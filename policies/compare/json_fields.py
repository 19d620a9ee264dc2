"""Comparing answers that are JSON documents, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.compare.base import KeyComparer
from policies.compare.json_text import Incomparable, parse_json, write_canonical
from policies.types import Answer, Shape


class JsonComparer(KeyComparer):
    """Equal documents under the request's schema, as ``json_text.write_canonical`` defines it.

    The answer must be the document: JSON in a code fence or beside words has no key, nor has an
    answer with tool calls.
    """

    name = "json"

    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        if answer.tool_calls:
            return None
        return document_key(answer.content or "", shape.json_schema)


def document_key(text: str, schema: Mapping[str, Any] | None) -> str | None:
    """The key of a JSON document; None where the text is none."""
    try:
        return f"json:{write_canonical(parse_json(text), schema)}"
    except Incomparable:
        return None
