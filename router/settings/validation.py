"""Pydantic's errors as sentences at a line of the file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from router.settings.document import Document
from router.settings.model import Settings
from router.settings.problems import Path, Problem

_LATER = "is not supported in this version"

_LATER_KEYS: Mapping[str, str] = MappingProxyType(
    {"usd_per_hour": f"{_LATER}: use input and output, or usd_per_request"}
)
_ALTERNATIVES: Mapping[str, str] = MappingProxyType(
    {"api_key": "api_key_env", "key": "key_env", "base_url": "upstream", "url": "upstream"}
)
"""What people write who know other configurations, where spelling alone leads elsewhere."""

_EXPECTED: Mapping[str, str] = MappingProxyType(
    {
        "int_type": "a whole number",
        "int_parsing": "a whole number",
        "int_from_float": "a whole number",
        "float_type": "a number",
        "float_parsing": "a number",
        "decimal_type": "a number",
        "decimal_parsing": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "bool_parsing": "true or false",
        "tuple_type": "a list",
        "mapping_type": "a mapping of keys to values",
        "model_type": "a mapping of keys to values",
        "dict_type": "a mapping of keys to values",
        "model_attributes_type": "a mapping of keys to values",
    }
)


def validate(document: Document) -> tuple[Settings | None, list[Problem]]:
    """The settings of a document, or every way in which its keys and types are wrong."""
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        message = "The file must be a mapping with keys such as models and workloads"
        return None, [Problem(line=document.line_of(()), key="", message=message)]
    try:
        return Settings.model_validate(data), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    problems = []
    for detail in details:
        path: Path = tuple(part for part in detail["loc"] if part != "[key]")
        # A default that another key would have supplied: that other key's error is in the list.
        if path in document.unresolved or detail["type"] == "default_factory_not_called":
            continue
        problems.append(document.problem(path, _describe(detail, path, document)))
    return None, problems


def _describe(detail: ErrorDetails, path: Path, document: Document) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    name = str(path[-1]) if path else ""
    if kind == "extra_forbidden":
        return _LATER_KEYS.get(name) or _unknown_key(name, path)
    if kind == "literal_error":
        return f"must be {_choices(context['expected'])}"
    if kind == "missing":
        return "is missing"
    if kind == "string_type":
        quotes = ": put it in quotes" if isinstance(detail["input"], bool | int | float) else ""
        return f"must be text{quotes}"
    if kind in ("string_too_short", "string_pattern_mismatch", "string_too_long"):
        return "must not be empty" if not detail["input"] else _BAD_NAME
    if kind == "value_error":
        return str(context["error"])
    if kind == "too_long":
        return f"must have at most {context['max_length']:,} entries"
    if kind == "too_short":
        return "must not be empty"
    if kind in _EXPECTED:
        return f"must be {_EXPECTED[kind]}"
    return _limit(context) or "is not valid here"


_BAD_NAME = "must be at most 100 characters, without / and without space at its ends"


def _limit(context: Mapping[str, Any]) -> str:
    words = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}
    for bound, word in words.items():
        if bound in context:
            return f"must be {word} {context[bound]:,}"
    return ""


def _choices(expected: str) -> str:
    """``'a', 'b' or 'c'`` without the quotes, which belong to Python."""
    return expected.replace("'", "").replace("False", "false")


def _unknown_key(name: str, path: Path) -> str:
    known = known_keys(path[:-1])
    alternative = _ALTERNATIVES.get(name)
    if alternative not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        alternative = near[0] if near else None
    if alternative is not None:
        return f"is not a known key: did you mean {alternative}?"
    return f"is not a known key: use one of {', '.join(known)}" if known else "is not a known key"


def known_keys(path: Path) -> list[str]:
    """The keys that a mapping at that place of the file may have; empty for any other place."""
    at: Any = Settings
    for part in path:
        if _is_section(at):
            known = at.model_fields.get(str(part))
            at = None if known is None else _without_none(known.annotation)
        else:
            # Mapping[str, Section] or tuple[Section, ...]
            items = [item for item in get_args(at) if _is_section(item)]
            at = items[0] if items else None
    return list(at.model_fields) if _is_section(at) else []


def _is_section(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _without_none(annotation: Any) -> Any:
    sections = [item for item in get_args(annotation) if _is_section(item)]
    return sections[0] if type(None) in get_args(annotation) and sections else annotation
