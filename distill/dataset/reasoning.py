"""Reasoning before an answer: ``<think>…</think>`` at the start of its content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from distill.dataset.model import Reasoning
from policies.types import Answer

_TRACE = re.compile(r"\s*<think>(?P<trace>.*?)</think>\s*", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.!?\n])\s+")
_SHORT_CHARS = 600
"""A shortened trace has at most so many characters: its beginning and its end."""


def final_of(answer: Answer) -> Answer:
    """The answer without its trace: what answers are compared by."""
    found = _TRACE.match(answer.content or "")
    if found is None:
        return answer
    return replace(answer, content=(answer.content or "")[found.end() :])


def has_trace(value: Mapping[str, Any]) -> bool:
    """Whether a stored answer begins with a trace."""
    return _TRACE.match(value.get("content") or "") is not None


def rewrite(value: Mapping[str, Any], how: Reasoning) -> dict[str, Any]:
    """A stored answer with its trace kept, shortened or dropped."""
    content = value.get("content") or ""
    found = _TRACE.match(content)
    if found is None or how == "keep":
        return dict(value)
    final = content[found.end() :]
    if how == "drop":
        return {**value, "content": final}
    return {**value, "content": f"<think>{shorten(found['trace'])}</think>\n\n{final}"}


def shorten(trace: str, most_chars: int = _SHORT_CHARS) -> str:
    """Whole sentences from both ends: what is set out to do, and what it came to."""
    if len(trace) <= most_chars:
        return trace
    sentences = [s for s in _SENTENCE_END.split(trace.strip()) if s]
    first, last, used = 0, len(sentences), 0
    while first < last:
        end = sentences[last - 1] if first > len(sentences) - last else sentences[first]
        if used + len(end) > most_chars:
            break
        used += len(end)
        if first > len(sentences) - last:
            last -= 1
        else:
            first += 1
    return " ".join([*sentences[:first], "…", *sentences[last:]])
