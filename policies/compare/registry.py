"""The comparers by name, and which one fits a workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from policies.compare.base import Comparer, is_comparable, is_refusal
from policies.compare.json_fields import JsonComparer
from policies.compare.label import LabelComparer
from policies.compare.number import NumberComparer
from policies.compare.solution import SolutionComparer, is_solution
from policies.compare.text import TextComparer
from policies.compare.tool_calls import ToolCallsComparer
from policies.types import Answer, Shape

MAX_LABEL_CHARS = 80

COMPARERS: Mapping[str, Comparer] = MappingProxyType(
    {
        comparer.name: comparer
        for comparer in (
            LabelComparer(),
            JsonComparer(),
            ToolCallsComparer(),
            NumberComparer(),
            SolutionComparer(),
            TextComparer(),
        )
    }
)
"""Every comparer that a configuration may name."""


def get_comparer(name: str) -> Comparer:
    """The comparer of that name. Raises ``ValueError``, which names the known ones, if none is."""
    if name not in COMPARERS:
        known = ", ".join(COMPARERS)
        raise ValueError(f"unknown comparer {name!r}: use one of {known}")
    return COMPARERS[name]


def choose_comparer(shape: Shape, answers: Sequence[Answer]) -> str:
    """The name of the comparer that fits a request's shape and the teacher's answers to it.

    Refusals, unfinished and empty answers say nothing about what answers look like and are passed
    over. Where nothing is left to judge by, the strictest comparer of words is chosen: ``text``.
    """
    if any(answer.tool_calls for answer in answers):
        return ToolCallsComparer.name
    if shape.json:
        return JsonComparer.name
    telling = [answer for answer in answers if is_comparable(answer) and not is_refusal(answer)]
    if telling and all(_is_short_line(answer.content or "") for answer in telling):
        return LabelComparer.name
    if telling and all(map(is_solution, telling)):
        return SolutionComparer.name
    return TextComparer.name


def _is_short_line(content: str) -> bool:
    text = content.strip()
    return len(text) <= MAX_LABEL_CHARS and len(text.splitlines()) == 1
