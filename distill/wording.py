"""Numbers and answers in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.wire.openai import answer_from_json


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """``1 answer``, ``1,200 answers``; ``plural`` where an s doesn't do."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def answer_text(value: Mapping[str, Any]) -> str:
    """What an answer says, in words that an encoder can read."""
    answer = answer_from_json(value)
    calls = [f"{call.name} {call.arguments}" for call in answer.tool_calls]
    return " ".join([answer.content or answer.refusal or "", *calls]).strip() or "nothing"
