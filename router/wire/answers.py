"""Answers in OpenAI's shapes: reading them from messages, writing completions and chunks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from policies.types import Answer, ToolCall
from router.wire.strict_json import make_well_formed


def answer_from_message(message: Mapping[str, Any], finish_reason: str | None) -> Answer:
    """The answer in an assistant message; parts that are not text are left out.

    A call in the retired ``function_call`` form becomes a tool call without an id.
    """
    calls = message.get("tool_calls")
    listed = calls if isinstance(calls, list) else []
    tool_calls = [_read_call(call) for call in listed if isinstance(call, Mapping)]
    legacy = message.get("function_call")
    if isinstance(legacy, Mapping) and not tool_calls:
        tool_calls = [_read_call({"function": legacy})]
    return Answer(
        content=_read_content(message.get("content")),
        tool_calls=tuple(tool_calls),
        refusal=_read_text(message.get("refusal")),
        finish_reason=finish_reason,
    )


def answer_to_json(answer: Answer) -> dict[str, Any]:
    """The answer as plain JSON values; ``answer_from_json`` reads it back."""
    return {
        "content": answer.content,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": call.arguments}
            for call in answer.tool_calls
        ],
        "refusal": answer.refusal,
        "finish_reason": answer.finish_reason,
    }


def answer_from_json(value: Mapping[str, Any]) -> Answer:
    """Read what ``answer_to_json`` wrote. Raises ``ValueError`` where it is something else."""
    try:
        answer = Answer(
            content=value["content"],
            tool_calls=tuple(
                ToolCall(id=call["id"], name=call["name"], arguments=call["arguments"])
                for call in value["tool_calls"]
            ),
            refusal=value["refusal"],
            finish_reason=value["finish_reason"],
        )
    except (KeyError, TypeError):
        raise ValueError("The stored answer lacks a field or has one of the wrong type.") from None
    texts = [answer.content, answer.refusal, answer.finish_reason]
    texts += [call.id for call in answer.tool_calls]
    required = [text for call in answer.tool_calls for text in (call.name, call.arguments)]
    if not all(text is None or isinstance(text, str) for text in texts) or not all(
        isinstance(text, str) for text in required
    ):
        raise ValueError("The stored answer lacks a field or has one of the wrong type.")
    return answer


def completion_from_answer(
    answer: Answer, *, id: str, model: str, created: int, usage: Mapping[str, Any] | None
) -> dict[str, Any]:
    """A ``chat.completion``; ``created`` in seconds since 1970.

    Unknown usage is left out. A tool call without an id gets one that follows from ``id``.
    """
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.content,
        "refusal": answer.refusal,
    }
    if answer.tool_calls:
        message["tool_calls"] = [
            _write_call(call, f"{id}-{i}") for i, call in enumerate(answer.tool_calls)
        ]
    completion: dict[str, Any] = {
        "id": id,
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": _finish_reason_of(answer),
            }
        ],
    }
    if usage is not None:
        completion["usage"] = dict(usage)
    return completion


def chunks_from_answer(
    answer: Answer,
    *,
    id: str,
    model: str,
    created: int,
    usage: Mapping[str, Any] | None = None,
    include_usage: bool = False,
) -> list[dict[str, Any]]:
    """The answer as ``chat.completion.chunk`` objects: role, content or calls, finish, usage.

    The chunk with the usage comes last, without choices, and only with ``include_usage``; its
    usage is null where unknown. ``[DONE]`` is not part of the list.
    """
    opening = None if answer.content is None else ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": opening, "refusal": None}]
    if answer.content:
        deltas.append({"content": answer.content})
    if answer.refusal:
        deltas.append({"refusal": answer.refusal})
    for i, call in enumerate(answer.tool_calls):
        deltas.append({"tool_calls": [{"index": i, **_write_call(call, f"{id}-{i}")}]})
    choices: list[list[dict[str, Any]]] = [[_write_choice(delta, None)] for delta in deltas]
    choices.append([_write_choice({}, _finish_reason_of(answer))])
    head = {"id": id, "object": "chat.completion.chunk", "created": created, "model": model}
    if not include_usage:
        return [{**head, "choices": choice} for choice in choices]
    chunks = [{**head, "choices": choice, "usage": None} for choice in choices]
    chunks.append({**head, "choices": [], "usage": None if usage is None else dict(usage)})
    return chunks


def is_usage_chunk(chunk: Mapping[str, Any]) -> bool:
    """Whether a chunk is the one that exists only because usage was asked for.

    A chunk without choices but also without usage is something else (content filters send such).
    """
    return not chunk.get("choices") and chunk.get("usage") is not None


def _write_choice(delta: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _write_call(call: ToolCall, seed: str) -> dict[str, Any]:
    return {
        "id": call.id if call.id is not None else f"call_{seed}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _finish_reason_of(answer: Answer) -> str:
    return answer.finish_reason or ("tool_calls" if answer.tool_calls else "stop")


def _read_call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function")
    if not isinstance(function, Mapping):
        function = call.get("custom")
    if not isinstance(function, Mapping):
        function = {}
    arguments = function.get("arguments", function.get("input"))
    if not isinstance(arguments, str):  # some servers send the object itself
        arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(
        name=_read_text(function.get("name")) or "",
        arguments=make_well_formed(arguments),
        id=_read_text(call.get("id")),
    )


def _read_content(content: Any) -> str | None:
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping)]
        texts = [text for text in parts if isinstance(text, str)]
        return make_well_formed("".join(texts)) if texts else None
    return _read_text(content)


def _read_text(value: Any) -> str | None:
    return make_well_formed(value) if isinstance(value, str) else None
