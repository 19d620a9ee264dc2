"""Whole answers of OpenAI's Responses form, from and to completions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.wire.form import stem_of

_INCOMPLETE: Mapping[str, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FINISH: Mapping[str, str] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "disabled",
    "user": None,
}
"""What a response repeats of its request, and what stands where the request didn't say."""


def completion_from_response(response: Mapping[str, Any]) -> dict[str, Any]:
    """The answer as a ``chat.completion``.

    Raises ``ValueError`` where it is no response: what it is instead.
    """
    output = response.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        raise ValueError("JSON that is no response: it has no output")
    if response.get("status") == "failed":
        raise ValueError("a response that failed")
    texts, refusals, thoughts, calls = [], [], [], []
    for item in output:
        match item.get("type"):
            case "message":
                for part in _parts(item.get("content")):
                    if isinstance(part.get("text"), str):
                        texts.append(part["text"])
                    if isinstance(part.get("refusal"), str):
                        refusals.append(part["refusal"])
            case "reasoning":
                parts = _parts(item.get("content")) or _parts(item.get("summary"))
                thoughts += [str(part.get("text") or "") for part in parts]
            case "function_call":
                function = {"name": item.get("name"), "arguments": item.get("arguments")}
                calls.append({"id": item.get("call_id"), "type": "function", "function": function})
    said: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) or None,
    }
    if calls:
        said["tool_calls"] = calls
    if thoughts:
        said["reasoning_content"] = "".join(thoughts)
    finish = finish_reason_of(response, calls=bool(calls))
    choice = {"index": 0, "message": said, "logprobs": None, "finish_reason": finish}
    return {
        "id": response.get("id"),
        "object": "chat.completion",
        "created": response.get("created_at"),
        "model": response.get("model"),
        "choices": [choice],
        "usage": usage_from_response(response.get("usage")),
    }


def finish_reason_of(response: Mapping[str, Any], *, calls: bool) -> str | None:
    """Why the answer ended, None where it hasn't; ``calls``: it has function calls."""
    if response.get("status") == "incomplete":
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        return _FINISH.get(str(reason), "length")
    if response.get("status") not in (None, "completed"):
        return None
    return "tool_calls" if calls else "stop"


def usage_from_response(usage: Any) -> dict[str, Any] | None:
    """Usage in the terms of chat completions."""
    if not isinstance(usage, Mapping):
        return None
    return {
        "prompt_tokens": usage.get("input_tokens"),
        "completion_tokens": usage.get("output_tokens"),
        "total_tokens": usage.get("total_tokens"),
        "prompt_tokens_details": usage.get("input_tokens_details"),
        "completion_tokens_details": usage.get("output_tokens_details"),
    }


def usage_to_response(usage: Any) -> dict[str, Any] | None:
    """Usage in the terms of responses, None where it is not known."""
    if not isinstance(usage, Mapping):
        return None
    read, thought = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    read = read if isinstance(read, Mapping) else {}
    thought = thought if isinstance(thought, Mapping) else {}
    prompt, completion = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": read.get("cached_tokens") or 0,
            "cache_write_tokens": read.get("cache_write_tokens") or 0,
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": thought.get("reasoning_tokens") or 0},
        "total_tokens": usage.get("total_tokens") or prompt + completion,
    }


def response_from_completion(
    completion: Mapping[str, Any], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """A completion's first choice as a response to the request ``asked``."""
    choice = completion["choices"][0]
    said = choice["message"]
    key = stem_of(completion.get("id"))
    output: list[dict[str, Any]] = []
    thought = said.get("reasoning_content") or said.get("reasoning")
    if isinstance(thought, str) and thought:
        output.append(reasoning_item(f"rs_{key}", thought))
    parts = []
    if isinstance(said.get("content"), str) and (said["content"] or not said.get("tool_calls")):
        parts.append(text_part(said["content"]))
    if said.get("refusal"):
        parts.append(refusal_part(said["refusal"]))
    if parts:
        output.append(message_item(f"msg_{key}", parts))
    for i, call in enumerate(said.get("tool_calls") or []):
        function = call.get("function") or {}
        output.append(
            call_item(
                f"fc_{key}_{i}",
                call_id=call.get("id") or f"call_{key}_{i}",
                name=function.get("name") or "",
                arguments=function.get("arguments") or "",
            )
        )
    return write_response(
        key,
        asked,
        created=completion.get("created") or 0,
        model=completion.get("model"),
        output=output,
        finish=choice.get("finish_reason"),
        usage=completion.get("usage"),
    )


def write_response(
    key: str,
    asked: Mapping[str, Any],
    *,
    created: int,
    model: Any,
    output: list[dict[str, Any]],
    finish: str | None,
    usage: Any,
    status: str | None = None,
) -> dict[str, Any]:
    """A response object; ``status`` follows from ``finish`` where it is not given."""
    incomplete = _INCOMPLETE.get(finish or "")
    echoed = {name: asked.get(name, default) for name, default in _ECHOED.items()}
    return {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": created,
        "status": status or ("incomplete" if incomplete else "completed"),
        "error": None,
        "incomplete_details": {"reason": incomplete} if incomplete else None,
        "model": model,
        "output": output,
        "previous_response_id": None,
        "reasoning": asked.get("reasoning") or {"effort": None, "summary": None},
        "store": False,
        "usage": usage_to_response(usage),
        **{name: _ECHOED[name] if value is None else value for name, value in echoed.items()},
    }


def text_part(text: str) -> dict[str, Any]:
    """What was said."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> dict[str, Any]:
    """What was said instead of an answer."""
    return {"type": "refusal", "refusal": text}


def message_item(id: str, parts: list[dict[str, Any]], status: str = "completed") -> dict[str, Any]:
    """A message of the model."""
    return {
        "id": id,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def reasoning_item(id: str, text: str) -> dict[str, Any]:
    """What the model thought."""
    content = [{"type": "reasoning_text", "text": text}] if text else []
    return {"id": id, "type": "reasoning", "summary": [], "content": content}


def call_item(
    id: str, *, call_id: str, name: str, arguments: str, status: str = "completed"
) -> dict[str, Any]:
    """A function call."""
    return {
        "id": id,
        "type": "function_call",
        "status": status,
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
    }


def _parts(content: Any) -> list[dict[str, Any]]:
    return [p for p in content if isinstance(p, dict)] if isinstance(content, list) else []
