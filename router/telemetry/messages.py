"""Messages as OpenTelemetry writes them: a role and parts, as JSON in one attribute."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def write_input(body: Mapping[str, Any]) -> str | None:
    """``gen_ai.input.messages`` of a recorded request; None for one that holds no messages."""
    messages = body.get("messages")
    if not isinstance(messages, Sequence):
        return None
    return _dump([_write_message(one) for one in messages if isinstance(one, Mapping)])


def write_output(answer: Mapping[str, Any]) -> str:
    """``gen_ai.output.messages`` of a recorded answer."""
    said = answer.get("content") or answer.get("refusal")
    parts = [] if said is None else [_write_text(said)]
    for call in answer.get("tool_calls") or ():
        parts.append(_write_call(call.get("id"), call.get("name"), call.get("arguments")))
    finish = answer.get("finish_reason") or "stop"
    return _dump([{"role": "assistant", "parts": parts, "finish_reason": finish}])


def _write_message(message: Mapping[str, Any]) -> dict[str, Any]:
    role, content = str(message.get("role", "user")), message.get("content")
    if role == "tool":
        answered = {"type": "tool_call_response", "id": message.get("tool_call_id")}
        return {"role": role, "parts": [{**answered, "response": content}]}
    parts = [_write_text(content)] if isinstance(content, str) else []
    for part in content if isinstance(content, list) else ():
        text = part.get("text") if isinstance(part, Mapping) else None
        # Images and sound are named, not sent: attributes have no room for them.
        parts.append(_write_text(text) if isinstance(text, str) else {"type": _kind_of(part)})
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        parts.append(_write_call(call.get("id"), function.get("name"), function.get("arguments")))
    return {"role": role, "parts": parts}


def _kind_of(part: Any) -> str:
    return str(part.get("type", "unknown")) if isinstance(part, Mapping) else "unknown"


def _write_text(text: str) -> dict[str, Any]:
    return {"type": "text", "content": text}


def _write_call(call_id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"type": "tool_call", "id": call_id, "name": name, "arguments": arguments}


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
