"""Deterministic checks of drafted tool calls against the tools offered and the question.

A call that names an unknown tool, lacks a required argument or has a value of the wrong type is
surely wrong; a value that nobody mentioned was made up; numbers of the question that no call holds
were forgotten. All of it reads the request and the draft alone.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from policies.types import ToolCall

Schema = Mapping[str, Any]

_TYPES: Mapping[str, type | tuple[type, ...]] = MappingProxyType(
    {
        "string": str,
        "integer": int,
        "float": (int, float),
        "number": (int, float),
        "double": (int, float),
        "boolean": bool,
        "array": list,
        "list": list,
        "tuple": list,
        "object": dict,
        "dict": dict,
    }
)
_WORD = re.compile(r"[a-z0-9]+")
_DIGITS = re.compile(r"\d+(?:\.\d+)?")
_JOINERS = re.compile(r"\b(and|also|then|respectively|both|as well)\b|[,;]", re.IGNORECASE)
_COMMON = frozenset(
    """a an and are as at be by can do does for from get find how i in is it me my of on or please
    should that the to what when where which who will with would you your""".split()  # noqa: SIM905
)


def check_calls(
    question: str, tools: Mapping[str, Schema], drafted: Sequence[ToolCall]
) -> dict[str, float]:
    """Signals of a request with tools and the drafted calls, always the same names.

    ``tools``: each offered function by its name, as the request describes it.
    """
    words = _words(question)
    calls = [(call.name, _arguments(call.arguments)) for call in drafted]
    found = dict.fromkeys(_FAULTS, 0.0)
    for name, arguments in calls:
        for fault, count in _check_call(tools.get(name), arguments, question).items():
            found[fault] += count
    said = " ".join(str(v) for _, arguments in calls for v in _leaves(arguments or {}))
    numbers = set(_DIGITS.findall(question))
    called = [_overlap(words, tools[name]) for name, _ in calls if name in tools]
    best = max((_overlap(words, tool) for tool in tools.values()), default=0.0)
    likeness = max((_likeness(question, tool) for tool in tools.values()), default=0.0)
    kinds = json.dumps(list(tools.values()))
    return {
        "no_call": float(not calls),
        "calls": math.log1p(len(calls)),
        "one_call": float(len(calls) == 1),
        "same_tool": float(len(calls) - len({name for name, _ in calls})),
        "repeated": float(len(calls) - len({json.dumps(call) for call in calls})),
        "tools": math.log1p(len(tools)),
        "question_words": math.log1p(len(question.split())),
        "joiners": float(len(_JOINERS.findall(question))),
        "joiners_per_call": len(_JOINERS.findall(question)) / (1 + len(calls)),
        "asks_what_is": float(bool(re.match(r"\s*(what|who|which|why|how)\b", question, re.I))),
        "tool_overlap": min(called, default=0.0),
        "tool_overlap_lost": best - max(called, default=0.0),
        "tool_likeness": likeness,
        "numbers_forgotten": float(sum(n not in said for n in numbers)),
        "names_forgotten": float(len(_names(question) - _words(said))),
        "foreign_types": float(
            bool(re.search(r'"type": "(any|String|long|Boolean|ArrayList)', kinds))
        ),
        **found,
        "made_up_share": found["made_up"] / max(1.0, found["values"]),
    }


_FAULTS = (
    "unknown_tool",
    "unreadable",
    "missing",
    "unknown_argument",
    "wrong_type",
    "not_in_enum",
    "values",
    "made_up",
    "made_up_required",
    "optional_given",
    "optional_left",
    "as_default",
    "optional_named",
)


def _check_call(
    tool: Schema | None,
    arguments: dict[str, Any] | None,
    question: str,
) -> dict[str, float]:
    if tool is None:
        return {"unknown_tool": 1.0}
    if arguments is None:
        return {"unreadable": 1.0}
    parameters = tool.get("parameters") or {}
    properties: Mapping[str, Any] = parameters.get("properties") or {}
    required = set(parameters.get("required") or [])
    found = dict.fromkeys(_FAULTS, 0.0)
    found["missing"] = float(len(required - set(arguments)))
    optional = set(properties) - required
    found["optional_given"] = float(len(optional & set(arguments)))
    left = optional - set(arguments)
    found["optional_left"] = float(len(left))
    words = _words(question)
    # The question says its name, and yet the call is silent about it.
    found["optional_named"] = float(
        sum(
            bool(_words(name) - _COMMON & words) and (_words(name) - _COMMON) <= words
            for name in left
        )
    )
    for name, value in arguments.items():
        schema = properties.get(name)
        if not isinstance(schema, dict):
            found["unknown_argument"] += 1
            continue
        found["wrong_type"] += not _fits(value, schema)
        found["not_in_enum"] += not _allowed(value, schema)
        found["as_default"] += "default" in schema and str(schema["default"]) == str(value)
        leaves = list(_leaves(value))
        unknown = sum(not _mentioned(leaf, question, schema) for leaf in leaves)
        found["values"] += len(leaves)
        found["made_up"] += unknown
        found["made_up_required"] += unknown if name in required else 0
    return found


def _arguments(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _fits(value: Any, schema: Schema) -> bool:
    kind = _TYPES.get(str(schema.get("type", "")).lower())
    if kind is None:
        return True
    if isinstance(value, bool) and kind is not bool:
        return False
    return isinstance(value, kind)


def _allowed(value: Any, schema: Schema) -> bool:
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        return all(_fits(item, items) and _allowed(item, items) for item in value)
    options = schema.get("enum")
    return not isinstance(options, list) or value in options


def _mentioned(value: Any, question: str, schema: Schema) -> bool:
    """The question says it: a number by its digits, a text by most of its words."""
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        shown = {f"{value:g}", str(value), f"{value * 100:g}", f"{value / 1000:g}"}
        plain = question.replace(",", "")
        return any(re.search(rf"(?<![\d.]){re.escape(n)}(?!\d)", plain) for n in shown)
    words = _words(str(value))
    if not words or value in (schema.get("enum") or []):
        return True
    return len(words & _words(question)) / len(words) >= 0.6


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _overlap(words: set[str], tool: Schema) -> float:
    """The share of the question's words that the tool's name and descriptions know."""
    meant = words - _COMMON
    known = _words(json.dumps([tool.get("name"), tool.get("description"), tool.get("parameters")]))
    return len(meant & known) / max(1, len(meant))


def _likeness(question: str, tool: Schema) -> float:
    """Cosine of the question's words and those of the tool's name and description, by the logarithm
    of their counts: the best one is small where no tool was made for the question."""
    asked = _weigh(question)
    told = _weigh(f"{tool.get('name')} {tool.get('description') or ''}")
    lengths = math.hypot(*asked.values()) * math.hypot(*told.values())
    shared = sum(value * told.get(word, 0.0) for word, value in asked.items())
    return shared / lengths if lengths else 0.0


def _weigh(text: str) -> dict[str, float]:
    counts = Counter(word for word in _list_words(text) if word not in _COMMON)
    return {word: 1.0 + math.log(count) for word, count in counts.items()}


def _words(text: str) -> set[str]:
    return set(_list_words(text))


def _list_words(text: str) -> list[str]:
    split = re.sub(r"([a-z])([A-Z])", r"\1 \2", text)
    return [word.rstrip("s") for word in _WORD.findall(split.lower())]


def _names(question: str) -> set[str]:
    """Capitalised words behind the first."""
    return {w.lower().rstrip("s") for w in re.findall(r"(?<=\s)[A-Z][a-z]+", question)}
