"""Checking single fields of a body, with OpenAI's words for what is wrong with them."""

from __future__ import annotations

from typing import Any

from router.errors import BadRequest
from router.wire.form import Untranslatable
from router.wire.strict_json import JsonError, load_json


def load_body(raw: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises ``BadRequest``."""
    try:
        body = load_json(raw)
    except JsonError as exc:
        raise BadRequest(f"The request body {exc}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest(
            f"The request body must be a JSON object, but it is {_kind_of(body)}.",
            code="invalid_json",
        )
    return body


def untranslatable(error: Untranslatable) -> BadRequest:
    """What a client is told whose request can't be translated."""
    return BadRequest(f"The request can't be translated: {error}.", code="invalid_type")


def read_text(body: dict[str, Any], key: str) -> str:
    """A string that must be there."""
    value = body.get(key)
    if value is None:
        raise missing(key)
    if not isinstance(value, str):
        raise wrong_type(key, "a string", value)
    return value


def read_flag(body: dict[str, Any], key: str, *, default: bool, prefix: str = "") -> bool:
    """A boolean, ``default`` where it is not given."""
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong_type(prefix + key, "a boolean", value)
    return value


def read_objects(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """An array of objects, empty where it is not given."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise wrong_type(key, "an array of objects", value)
    for i, item in enumerate(value):
        if not isinstance(item, dict):
            raise wrong_type(f"{key}[{i}]", "an object", item)
    return value


def missing(param: str) -> BadRequest:
    return invalid(param, "missing_required_parameter", "Missing required parameter: {}.")


def invalid(param: str, code: str, sentence: str) -> BadRequest:
    return BadRequest(sentence.replace("{}", f"'{param}'", 1), param=param, code=code)


def wrong_type(param: str, expected: str, value: Any) -> BadRequest:
    return BadRequest(
        f"Invalid type for '{param}': expected {expected}, but got {_kind_of(value)} instead.",
        param=param,
        code="invalid_type",
    )


def _kind_of(value: Any) -> str:
    kinds = {
        bool: "a boolean",
        int: "an integer",
        float: "a decimal",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return kinds.get(type(value), "null")
