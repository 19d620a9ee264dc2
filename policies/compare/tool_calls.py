"""Comparing answers that call tools."""

from __future__ import annotations

import json

from policies.compare.base import KeyComparer
from policies.compare.fold import fold_text
from policies.compare.json_fields import document_key
from policies.compare.json_text import Incomparable, parse_json, write_canonical
from policies.types import Answer, Shape, ToolCall


class ToolCallsComparer(KeyComparer):
    """The same calls: names exactly, arguments as JSON under the tool's parameter schema.

    The order of parallel calls, their ids, and the words beside them do not count; how often a
    call is made does. Defaults are not filled in. A call of a tool that was not offered, or with
    arguments that are no JSON object, has no key.

    An answer without calls (a question back, say) agrees with no call; two of them are compared
    as JSON where the request wanted JSON, else as text.
    """

    name = "tool_calls"

    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        if not answer.tool_calls:
            content = answer.content or ""
            return document_key(content, shape.json_schema) if shape.json else _text_key(content)
        try:
            calls = sorted(_write_call(call, shape) for call in answer.tool_calls)
        except Incomparable:
            return None
        return f"calls:[{','.join(calls)}]"


def _write_call(call: ToolCall, shape: Shape) -> str:
    if call.name not in shape.tools:
        raise Incomparable("the tool was not offered")
    arguments = parse_json(call.arguments)
    if not isinstance(arguments, dict):
        raise Incomparable("arguments are a JSON object")
    return f"{json.dumps(call.name)}:{write_canonical(arguments, shape.tools[call.name])}"


def _text_key(content: str) -> str | None:
    text = fold_text(content)
    return f"text:{text}" if text else None
