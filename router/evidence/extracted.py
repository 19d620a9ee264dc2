"""Where the values of a JSON draft stand in the question: what is copied is seldom wrong.

A value cut short ("99269" of "99269/W25") stands there in part, one that was worked out or made up
nowhere. Names of the signals begin with ``value_``; a fit has to find their direction, since for
some tasks (a class, a summary as JSON) nothing is copied.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from itertools import islice
from typing import Any

MOST_CHARS = 20_000
MOST_VALUES = 100
"""Longer questions and further values aren't looked at: a decision must stay quick."""

_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_BETWEEN = r"[\s./,\-]{1,3}"
_MONTH = r"(?P<m>\d\d?|[^\W\d_]{3,10}\.?)"
_DAY = r"(?P<d>\d\d?)(?:st|nd|rd|th)?"
_YEAR, _FULL_YEAR = r"(?P<y>\d{4}|\d\d)", r"(?P<y>\d{4})"
_DATES = tuple(
    re.compile(rf"(?<![^\W_]){_BETWEEN.join(order)}(?!\d)(?![./\-]\d)")
    for order in ((_FULL_YEAR, _MONTH, _DAY), (_DAY, _MONTH, _YEAR), (_MONTH, _DAY, _YEAR))
)
"""Year first, day first, month first; the month may be a word."""
_NUMBER = re.compile(r"\d(?:[\d.,'\u00a0\u202f]*\d)?")
_MARKS = re.compile(r"[.,'\u00a0\u202f]")
_DECIMALS = 2
"""So many digits after the last mark, or fewer, are a fraction."""
_JOINTS = "/-."
_MOST_PLACES = 20
_PLACES = ("whole", "part", "null", "absent_date", "absent_number", "absent_text")

Day = tuple[int, int | None, int]
"""Year without its century, month (None where it is a word), day."""


def check_values(question: str, content: str) -> dict[str, float]:
    """Counts of the draft's values by how each stands in the question, as log1p: ``value_whole``,
    ``value_part``, ``value_null``, and what stands nowhere by its kind, ``value_absent_date``,
    ``value_absent_number``, ``value_absent_text``. Nothing unless the draft is a JSON object or
    array."""
    if not content.lstrip().startswith(("{", "[")) or len(question) > MOST_CHARS:
        return {}
    try:
        document = json.loads(content, parse_float=Decimal, parse_int=Decimal)
    except (ValueError, RecursionError, InvalidOperation):
        return {}
    text = question.casefold()
    numbers = {_read_number(found) for found in _NUMBER.findall(text)}
    days = {_read_day(found) for pattern in _DATES for found in pattern.finditer(text)}
    counts = dict.fromkeys(_PLACES, 0)
    for value in islice(_leaves(document), MOST_VALUES):
        counts[_place(value, text, numbers, days)] += 1
    return {f"value_{name}": math.log1p(count) for name, count in counts.items()}


def _leaves(document: Any) -> Iterator[Any]:
    """Every value that is no container, in order; truth values can't be copied."""
    left = [document]
    while left:
        value = left.pop()
        if isinstance(value, dict | list):
            left.extend(reversed(list(value.values() if isinstance(value, dict) else value)))
        elif not isinstance(value, bool):
            yield value


def _place(value: Any, text: str, numbers: set[Decimal], days: set[Day]) -> str:
    if value is None or value == "":
        return "null"
    if isinstance(value, Decimal):
        return "whole" if value.copy_abs() in numbers else "absent_number"
    said = str(value).casefold().strip()
    place = _find(said, text)
    if _ISO_DATE.fullmatch(said) and place != "whole":
        year, month, day = (int(part) for part in said.split("-"))
        named = {(year % 100, month, day), (year % 100, None, day)} & days
        return "whole" if named else "absent_date"
    return place or "absent_text"


def _find(said: str, text: str) -> str | None:
    place, end = None, 0
    for _ in range(_MOST_PLACES):
        start = text.find(said, end)
        if start < 0:
            break
        place, end = "part", start + len(said)
        if not (_goes_on(text[max(start - 2, 0) : start][::-1]) or _goes_on(text[end : end + 2])):
            return "whole"
    return place


def _goes_on(beside: str) -> bool:
    """Whether a word goes on with these two characters, the nearer first: "9" and "/w" do."""
    near, far = beside[:1], beside[1:2]
    return near.isalnum() or near == "_" or (near in _JOINTS and far.isalnum())


def _read_day(found: re.Match[str]) -> Day:
    month = found["m"]
    return int(found["y"]) % 100, int(month) if month.isdecimal() else None, int(found["d"])


def _read_number(found: str) -> Decimal:
    """Of 1,204.50 or 1.204,50: the last mark begins a fraction where few digits follow."""
    parts = _MARKS.split(found)
    if len(parts) > 1 and len(parts[-1]) <= _DECIMALS:
        return Decimal("".join(parts[:-1]) + "." + parts[-1])
    return Decimal("".join(parts))
