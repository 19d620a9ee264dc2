"""Comparing worked solutions by the answer that they come to, not by the way there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

from policies.compare.base import KeyComparer
from policies.compare.fold import fold_label
from policies.types import Answer, Shape

_THOUGHTS = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL | re.IGNORECASE)
_CALCULATOR = re.compile(r"<<[^<>\n]*>>")
_EMPHASIS = re.compile(r"\*\*|__|\\(?:left|right|[,;!])|~~")

# The comma separates thousands and nothing else; 30 digits are more than any solution states. Parts
# of ranges, dates, times, powers and ordinals are no numbers.
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,30})(?:\.[0-9]{1,30})?|\.[0-9]{1,30}"
_NUMBER = re.compile(
    rf"""
    (?<![\w.,/^:-]) (?P<sign>[-−]?) (?:\\?(?P<currency>[$€£¥])\s?)? (?P<inner>[-−]?)
    (?P<number>\\[dt]?frac\{{(?P<over>[0-9]{{1,30}})\}}\{{(?P<under>[0-9]{{1,30}})\}}
      |(?P<value>{_DIGITS})(?:/(?P<divisor>[0-9]{{1,30}}))?)
    (?P<tight>(?:mg|kg|g|mm|cm|km|ml|lbs?|oz|ft)\b)?
    (?![\w^/] | [.,:][0-9] | \s?[-–]\s?[0-9])
    (?:\s?\\?(?P<percent>%))? (?:[ -]?(?:\\text\{{\s?)?(?P<unit>[^\W\d_]+))?
    """,
    re.VERBOSE,
)
_RESULT = re.compile(r"=\s*(?=[-−$€£¥\\.0-9])")
_GOES_ON = re.compile(r"\s*(?:[-+*/×÷−=]|x\s*\\?[$0-9])")

_HASH = re.compile(r"####[ \t]*(?P<words>[^\n]*)")
_SAID = re.compile(
    r"\W*(?:the )?(?:final )?ans(?:wer)?[ \t]*[=:][ \t]*(?P<named>.+)"
    r"|.*\bthe (?:final )?answer is:?[ \t]*(?P<said>.+)",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\{")
_CLOSING = re.compile(r"[\s.$*\\)\]]*")
_CONDITION = re.compile(
    r"\A(?:(?:so|thus|hence|therefore),?\s+)?"
    r"(?:since|as|because|given|if|when|with|after|for|in|by|at|to)\b.*?,\s",
    re.IGNORECASE | re.DOTALL,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“(])|\n+")
_SUM = re.compile(
    r"[0-9)%]\s*(?:\\times|\\div|[-+*/x×÷−])\s*[$€£¥(]?[0-9][^=\n]{0,60}=\s*[$€£¥]?[0-9]"
)
_SUMS = 2
_MOST_MARKS = 8
_LONGEST_LINE = 2_000
_MOST_CHARS = 80
_NUMERIC = "solution:="

# Of these there are several for one quantity, so the same number may mean another amount.
_SCALES = {
    **dict.fromkeys(("cent", "cents", "penny", "pennies"), "cent"),
    **dict.fromkeys(("percent",), "%"),
    "percentage": "point",
    **{
        form: unit
        for unit, forms in {
            "second": "second seconds sec secs s",
            "minute": "minute minutes min mins",
            "hour": "hour hours hr hrs h",
            "day": "day days",
            "week": "week weeks",
            "month": "month months",
            "year": "year years",
            "decade": "decade decades",
            "mm": "mm millimeter millimeters millimetre millimetres",
            "cm": "cm centimeter centimeters centimetre centimetres",
            "m": "m meter meters metre metres",
            "km": "km kilometer kilometers kilometre kilometres",
            "inch": "inch inches",
            "foot": "foot feet ft",
            "yard": "yard yards",
            "mile": "mile miles",
            "mg": "mg milligram milligrams",
            "g": "g gram grams",
            "kg": "kg kilogram kilograms kilo kilos",
            "ton": "ton tons tonne tonnes",
            "ounce": "ounce ounces oz",
            "pound": "pound pounds lb lbs",
            "ml": "ml milliliter milliliters millilitre millilitres",
            "l": "l liter liters litre litres",
            "cup": "cup cups",
            "pint": "pint pints",
            "quart": "quart quarts",
            "gallon": "gallon gallons",
            "dozen": "dozen dozens",
            "pair": "pair pairs",
            "hundred": "hundred hundreds",
            "thousand": "thousand thousands",
            "million": "million millions",
            "billion": "billion billions",
        }.items()
        for form in forms.split()
    },
}


@dataclass(frozen=True, kw_only=True)
class _Stated:
    """A number with the unit that was written beside it, empty where it tells nothing."""

    value: Fraction
    unit: str


class SolutionComparer(KeyComparer):
    """The same final answer: what is marked as one, or what the last sentence says was calculated.

    Marks are ``#### 18``, ``\\boxed{18}``, and at the very end ``Answer: 18``, ``ans = 18`` and
    ``The answer is 18``; several must say the same, and nothing may stand behind them. Without a
    mark the last sentence must state the result of the last calculation. Anything else has no key.
    1,080, 1080.0 and $1080 agree, so do 1/2 and 0.5, and what is counted doesn't matter; but
    5 minutes, 5 hours, 5% and 5 cents all differ, from each other and from a 5 that was written
    without a unit throughout. A number and nothing else is its own final answer.
    """

    name = "solution"

    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        if answer.tool_calls:
            return None
        text = _clean(answer.content or "")
        alone = _NUMBER.fullmatch(text.rstrip("."))
        if alone is not None:
            stated = _to_stated(alone)
            return None if stated is None else _write(stated)
        marked = _find_marked(text)
        if not marked:
            stated = _read_conclusion(text)
            return None if stated is None else _write(stated)
        if len(marked) > _MOST_MARKS:
            return None
        keys = {_read_marked(text, start, words) for start, _, words in marked}
        closed = _CLOSING.fullmatch(text, max(end for _, end, _ in marked))
        return keys.pop() if len(keys) == 1 and closed else None


def is_solution(answer: Answer) -> bool:
    """Whether an answer is a worked solution: steps, and a number that they come to.

    Without a mark it takes two calculations: a reply that does a sum is no solution.
    """
    text = _clean(answer.content or "")
    if len(text.splitlines()) < 2:  # most answers by far: no need to read them for a number
        return False
    key = SolutionComparer().key(answer, Shape())
    if key is None or not key.startswith(_NUMERIC):
        return False
    return bool(_find_marked(text)) or len(_SUM.findall(text)) >= _SUMS


def _clean(text: str) -> str:
    """Without thoughts, calculator notes, emphasis, and space around."""
    plain = _CALCULATOR.sub("", _THOUGHTS.sub("", text))
    return _EMPHASIS.sub("", plain).strip()


def _find_marked(text: str) -> list[tuple[int, int, str]]:
    """Where each mark begins and ends, and what it marks; not all of them where there are many."""
    found = [
        (match.start(), match.end(), match["words"])
        for match in _HASH.finditer(text)
        if not _BOXED.match(match["words"].lstrip(" $*\\[("))
    ]
    for match in islice(_BOXED.finditer(text), _MOST_MARKS + 1):
        end = _close_brace(text, match.end())
        found.append((match.start(), end + 1, text[match.end() : end]))
    last = text.rfind("\n") + 1
    if found or len(text) - last > _LONGEST_LINE:
        return found
    said = _SAID.fullmatch(text, last)
    if said is not None:
        found.append((said.start(), said.end(), said["named"] or said["said"]))
    return found


def _close_brace(text: str, start: int) -> int:
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    return len(text)


def _read_marked(text: str, start: int, words: str) -> str | None:
    numbers = _read_numbers(words)
    if len(numbers) == 1:
        stated = numbers[0]
        before = [one for one in _read_numbers(text[:start]) if one.value == stated.value]
        units = [one.unit for one in (*before, stated) if one.unit]
        return _write(_Stated(value=stated.value, unit=units[-1] if units else ""))
    label = fold_label(words.strip().strip("$"))
    known = label and len(label) <= _MOST_CHARS and not re.search(r"\d", words)
    return f"solution:{label}" if known else None


def _read_conclusion(text: str) -> _Stated | None:
    """What the last sentence states, where it is what was calculated last."""
    results = list(_RESULT.finditer(text))
    if "```" in text or not results:
        return None
    number = _NUMBER.match(text, results[-1].end())
    if number is None or _GOES_ON.match(text, number.end("number")):
        return None
    result = _to_stated(number)
    if result is None:
        return None
    main = _CONDITION.sub("", _last_sentence(text))
    stated = {one for one in _read_numbers(main) if one.value == result.value}
    return stated.pop() if len(stated) == 1 else None


def _last_sentence(text: str) -> str:
    sentences = [one for one in _SENTENCE_END.split(text.strip()) if one.strip()]
    return sentences[-1] if sentences else ""


def _read_numbers(text: str) -> list[_Stated]:
    found = (_to_stated(match) for match in _NUMBER.finditer(text))
    return [one for one in found if one is not None]


def _to_stated(match: re.Match[str]) -> _Stated | None:
    under = int(match["under"] or match["divisor"] or 1)
    if under == 0:
        return None
    over = match["over"] or match["value"].replace(",", "")
    value = Fraction(over) / under
    if bool(match["sign"]) != bool(match["inner"]):
        value = -value
    currency = match["currency"] or ""
    written = match["tight"] or match["unit"] or ""
    unit = "%" if match["percent"] else _SCALES.get(written.lower(), "")
    if currency not in ("", "$"):
        unit = f"{currency} {unit}".strip()
    return _Stated(value=value, unit=unit)


def _write(stated: _Stated) -> str:
    return f"{_NUMERIC}{stated.value} {stated.unit}".rstrip()
