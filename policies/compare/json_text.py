"""JSON read strictly, and written so that equal documents are written alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from policies.compare.decimals import canonical_decimal
from policies.compare.places import Place

MAX_DEPTH = 64
"""Objects and arrays within each other; what is nested deeper is not compared."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it stands in the document; ``whole``: without a fraction or an exponent."""

    literal: str
    whole: bool


class Incomparable(ValueError):
    """The text is no JSON that has exactly one meaning."""


def parse_json(text: str) -> Any:
    """Read a JSON document; numbers become ``Number``.

    Raises ``Incomparable`` for anything but one JSON value with white space around it, for an
    object that names a member twice, for NaN and Infinity, and for nesting that is too deep.
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_read_object,
            parse_int=lambda literal: Number(literal=literal, whole=True),
            parse_float=lambda literal: Number(literal=literal, whole=False),
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise Incomparable(str(error)) from None


def write_canonical(value: Any, schema: Mapping[str, Any] | None) -> str:
    """Write a value of ``parse_json``; equal texts are equal documents under the schema.

    The order of an object's members does not count, that of an array's items does. Where the
    schema wants a number, it is written by value (``1`` and ``1.0`` are the same). Elsewhere a
    number with a fraction or an exponent is another than one without (``1.0`` is not ``1``; but
    ``1.0`` is ``1.00``). Strings are exact. Raises ``Incomparable`` for nesting deeper than
    ``MAX_DEPTH`` and for exponents beyond any use.
    """
    return _write(value, Place.top(schema), MAX_DEPTH)


def _write(value: Any, place: Place, depth_left: int) -> str:
    if isinstance(value, Number):
        return _write_number(value, place)
    if not isinstance(value, dict | list):
        return json.dumps(value)
    if depth_left == 0:
        raise Incomparable(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        members = (
            f"{json.dumps(name)}:{_write(value[name], place.member(name), depth_left - 1)}"
            for name in sorted(value)
        )
        return "{" + ",".join(members) + "}"
    items = (_write(item, place.item(at), depth_left - 1) for at, item in enumerate(value))
    return "[" + ",".join(items) + "]"


def _write_number(number: Number, place: Place) -> str:
    written = canonical_decimal(number.literal)
    if written is None:
        raise Incomparable("a number with an absurd exponent")
    return written if place.is_numeric or number.whole else f"fraction {written}"


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Incomparable("an object names a member twice")
    return members


def _refuse_constant(constant: str) -> NoReturn:
    raise Incomparable(f"{constant} is not JSON")
