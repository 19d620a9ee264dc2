"""Whole answers of Anthropic's Messages form, from and to completions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from time import time
from typing import Any

from router.wire.form import stem_of

FINISH_REASONS: Mapping[str, str] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP_REASONS: Mapping[str, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}


def completion_from_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as a ``chat.completion``.

    Thinking becomes ``reasoning_content``, and whole, with its signature, ``thinking_blocks``,
    which a client may send back. Raises ``ValueError`` where it is no message: what it is instead.
    """
    blocks = message.get("content")
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise ValueError("JSON that is no message: it has no content")
    texts, thoughts, signed, calls = [], [], [], []
    for block in blocks:
        match block.get("type"):
            case "text":
                texts.append(str(block.get("text") or ""))
            case "thinking" | "redacted_thinking":
                thoughts.append(str(block.get("thinking") or ""))
                signed.append(block)
            case "tool_use":
                arguments = json.dumps(block.get("input") or {}, ensure_ascii=False)
                function = {"name": block.get("name"), "arguments": arguments}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
    said: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts else None}
    if calls:
        said["tool_calls"] = calls
    if signed:
        said |= {"reasoning_content": "".join(thoughts), "thinking_blocks": signed}
    finish = finish_reason_of(message.get("stop_reason"))
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    return {
        "id": message.get("id"),
        "object": "chat.completion",
        "created": int(time()),
        "model": message.get("model"),
        "choices": [choice],
        "usage": usage_from_message(message.get("usage")),
    }


def finish_reason_of(stop_reason: Any) -> str | None:
    """OpenAI's word for why a message ended; a reason that is not known is kept."""
    return FINISH_REASONS.get(stop_reason, stop_reason) if isinstance(stop_reason, str) else None


def stop_reason_of(finish_reason: Any) -> str:
    """Anthropic's word for why an answer ended."""
    return _STOP_REASONS.get(finish_reason, "end_turn") if finish_reason else "end_turn"


def usage_from_message(usage: Any) -> dict[str, Any] | None:
    """Usage in OpenAI's terms: all of the prompt counts as such, what was cached beside it.

    None where there is none, or it makes no sense.
    """
    if not isinstance(usage, Mapping):
        return None
    parts: list[Any] = [
        usage.get(key) or 0
        for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    ]
    output: Any = usage.get("output_tokens")
    if not all(isinstance(part, int) for part in [*parts, output]):
        return None
    details: dict[str, Any] = {"cached_tokens": parts[1], "cache_write_tokens": parts[2]}
    found: dict[str, Any] = {
        "prompt_tokens": sum(parts),
        "completion_tokens": output,
        "total_tokens": sum(parts) + output,
        "prompt_tokens_details": details,
    }
    thinking = usage.get("output_tokens_details")
    if isinstance(thinking, Mapping) and isinstance(thinking.get("thinking_tokens"), int):
        found["completion_tokens_details"] = {"reasoning_tokens": thinking["thinking_tokens"]}
    return found


def usage_to_message(usage: Any) -> dict[str, Any]:
    """Usage in Anthropic's terms; zeros where it is not known, since the form requires numbers."""
    given = usage if isinstance(usage, Mapping) else {}
    details = given.get("prompt_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    read, written = details.get("cached_tokens") or 0, details.get("cache_write_tokens") or 0
    return {
        "input_tokens": max(0, (given.get("prompt_tokens") or 0) - read - written),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "output_tokens": given.get("completion_tokens") or 0,
    }


def message_from_completion(completion: Mapping[str, Any]) -> dict[str, Any]:
    """A completion's first choice as a message."""
    choice = completion["choices"][0]
    said = choice["message"]
    blocks = _write_thinking(said)
    text = said.get("content") or said.get("refusal")
    if isinstance(text, str) and text:
        blocks.append({"type": "text", "text": text})
    for i, call in enumerate(said.get("tool_calls") or []):
        function = call.get("function") or {}
        blocks.append(
            {
                "type": "tool_use",
                "id": call.get("id") or f"toolu_{completion.get('id')}_{i}",
                "name": function.get("name"),
                "input": _read_input(function.get("arguments")),
            }
        )
    refused = bool(said.get("refusal"))
    return {
        "id": message_id(completion.get("id")),
        "type": "message",
        "role": "assistant",
        "model": completion.get("model"),
        "content": blocks,
        "stop_reason": "refusal" if refused else stop_reason_of(choice.get("finish_reason")),
        "stop_sequence": None,
        "usage": usage_to_message(completion.get("usage")),
    }


def message_id(completion_id: Any) -> str:
    """The completion's id in the form that messages have."""
    return f"msg_{stem_of(completion_id)}"


def _write_thinking(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    if said.get("thinking_blocks"):
        return list(said["thinking_blocks"])
    thought = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(thought, str) and thought:
        return [{"type": "thinking", "thinking": thought, "signature": ""}]
    return []


def _read_input(arguments: Any) -> Any:
    """A call's arguments as the form wants them; what is no JSON is kept for the client to see."""
    try:
        value = json.loads(arguments) if arguments else {}
    except (TypeError, ValueError, RecursionError):
        return {"arguments": arguments}
    return value if isinstance(value, dict) else {"arguments": value}
