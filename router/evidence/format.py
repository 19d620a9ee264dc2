"""Is a draft in the form that was asked for? What isn't can't agree with an answer that is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from policies.types import Answer, Shape

_DEEPEST = 64
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "null": (type(None),),
    "integer": (int,),
    "number": (int, float),
}


def find_format_fault(shape: Shape, comparer: str | None, answer: Answer) -> str | None:
    """What of the draft breaks the asked form, in a few words; None where nothing was found.

    JSON is wanted where the request says so or ``comparer`` is ``json``; of a schema the words
    that are read are type, required, enum, const, properties, additionalProperties and items:
    the others can only find more. Of tool calls: the tool must be offered, its arguments an object.
    """
    for call in answer.tool_calls:
        if call.name not in shape.tools:
            return "it calls a tool that wasn't offered"
        if not isinstance(_load(call.arguments), dict):
            return "the arguments of its tool call are no JSON object"
    if answer.tool_calls or not (shape.json or comparer == "json"):
        return None
    document = _load(answer.content or "")
    if document is _NOTHING:
        return "it is no JSON"
    if shape.json_schema is not None and not _fits(document, shape.json_schema, _DEEPEST):
        return "its JSON doesn't follow the schema"
    return None


_NOTHING = object()


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return _NOTHING


def _fits(value: Any, schema: Any, depth_left: int) -> bool:
    if not isinstance(schema, Mapping) or depth_left == 0:
        return True
    if not _is_of(value, schema.get("type")):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        return False
    if isinstance(value, dict):
        return _members_fit(value, schema, depth_left)
    if isinstance(value, list):
        return all(_fits(item, schema.get("items"), depth_left - 1) for item in value)
    return True


def _members_fit(value: dict[str, Any], schema: Mapping[str, Any], depth_left: int) -> bool:
    required = schema.get("required")
    if isinstance(required, list) and not all(name in value for name in required):
        return False
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    patterns = schema.get("patternProperties")
    closed = schema.get("additionalProperties") is False and not patterns
    if closed and not value.keys() <= known.keys():
        return False
    return all(_fits(value[name], known.get(name), depth_left - 1) for name in value)


def _is_of(value: Any, wanted: Any) -> bool:
    names = wanted if isinstance(wanted, list) else [wanted]
    known = [name for name in names if isinstance(name, str) and name in _TYPES]
    if not known:
        return True
    return any(
        (isinstance(value, _TYPES[name]) and (name == "boolean" or not isinstance(value, bool)))
        or (name == "integer" and isinstance(value, float) and value.is_integer())
        for name in known
    )
