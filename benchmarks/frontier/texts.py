"""What a row says, as text: the question and the draft."""

from __future__ import annotations

import json
import re
from typing import Any

from distill.streams import StreamRow

_NOT_A_WORD = re.compile(r"[._]+")


def question_text(row: StreamRow) -> str:
    """The last message of the user."""
    said = [_content(m) for m in row.body["messages"] if m.get("role") == "user"]
    return said[-1] if said else ""


def offered_tools(row: StreamRow) -> dict[str, str]:
    """Each tool that was offered, by name: its name and description as words."""
    functions = [tool.get("function", {}) for tool in row.body.get("tools") or []]
    return {
        f["name"]: f"{_NOT_A_WORD.sub(' ', f['name'])}: {f.get('description') or ''}"
        for f in functions
        if isinstance(f.get("name"), str)
    }


def called_tools(row: StreamRow) -> list[str]:
    """The name in each call of the draft."""
    return [] if row.student is None else [c.name for c in row.student.answer.tool_calls]


def draft_text(row: StreamRow) -> str:
    """What the student said; its tool calls as JSON."""
    if row.student is None:
        return ""
    answer = row.student.answer
    calls = [{"name": c.name, "arguments": c.arguments} for c in answer.tool_calls]
    return (answer.content or "") + (json.dumps(calls, ensure_ascii=False) if calls else "")


def _content(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if "text" in part)
