"""Signals of a draft that need neither the student's insides nor the teacher."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from policies.types import Answer
from router.evidence.calls import Schema, check_calls
from router.evidence.extracted import check_values
from router.evidence.worked import check_solution
from router.wire.openai import count_prompt_chars, input_text

SHAPE = ("prompt_chars", "draft_chars", "turns")
"""Signals of size alone."""

_WORKED_WORDS = 10
"""A draft of so many words is read as a worked solution."""


def measure_draft(body: Mapping[str, Any], answer: Answer) -> dict[str, float]:
    """Named signals of a draft, all finite; which ones depends on what kind of answer it is.

    Of every draft: lengths, turns, whether it refuses or was cut short. Where tools were offered:
    checks of the calls against their schemas and the question (``call_…``). Of JSON: where its
    values stand in the question (``value_…``). Of a longer text: checks of what it calculates
    (``q_…``, ``d_…``).
    """
    content = answer.content or ""
    signals = {
        "prompt_chars": math.log1p(count_prompt_chars(body)),
        "draft_chars": math.log1p(len(content)),
        "turns": float(sum(one.get("role") == "user" for one in body.get("messages") or ())),
        "refused": float(answer.refusal is not None),
        "cut_short": float(answer.finish_reason == "length"),
    }
    question = last_question(body)
    tools = _offered(body)
    if tools:
        checks = check_calls(question, tools, answer.tool_calls)
        signals |= {f"call_{name}": value for name, value in checks.items()}
    else:
        signals |= check_values(question, content)
        if len(content.split()) >= _WORKED_WORDS:
            signals |= check_solution(question, content)
    return signals


def last_question(body: Mapping[str, Any]) -> str:
    """The last message of the user alone, as text."""
    said = [one for one in body.get("messages") or () if one.get("role") == "user"]
    return input_text({"messages": said[-1:]}) if said else ""


def _offered(body: Mapping[str, Any]) -> dict[str, Schema]:
    functions = [tool.get("function") for tool in body.get("tools") or () if isinstance(tool, dict)]
    return {
        function["name"]: function
        for function in functions
        if isinstance(function, dict) and isinstance(function.get("name"), str)
    }
