"""What a stand-in upstream says in each form, made from completions and chunks of chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from router.wire.form import Form
from router.wire.messages.answers import message_from_completion
from router.wire.messages.stream import MessageWriter
from router.wire.responses.answers import response_from_completion
from router.wire.responses.stream import ResponseWriter
from router.wire.sse import DONE, encode

CHUNKED = (Form.CHAT, Form.COMPLETIONS)
"""Forms whose streams end with ``[DONE]`` and tell usage on request only."""

_COMPACTED = {"id": "cmp_1", "type": "compaction", "encrypted_content": "shortened"}
_VECTOR = (0.25, -0.5, 0.125)


def write_fake(form: Form, completion: dict[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer; ``asked``: the request's body."""
    match form:
        case Form.COMPLETIONS:
            choices = [_text_choice(c, c["message"]["content"]) for c in completion["choices"]]
            return {**completion, "object": "text_completion", "choices": choices}
        case Form.EMBEDDINGS:
            return _write_embeddings(completion, asked)
        case Form.RESPONSES:
            return response_from_completion(completion, asked)
        case Form.COMPACTION:
            whole = response_from_completion(completion, asked)
            kept = {key: whole[key] for key in ("id", "created_at", "usage")}
            return {**kept, "object": "response.compaction", "output": [_COMPACTED]}
        case Form.MESSAGES:
            return message_from_completion(completion)
        case _:
            return completion


def stream_fake(
    form: Form, chunks: Sequence[dict[str, Any]], asked: Mapping[str, Any]
) -> list[bytes]:
    """A stream; its last event is the one that ends it."""
    if form in (Form.RESPONSES, Form.MESSAGES):
        writer = ResponseWriter(asked) if form is Form.RESPONSES else MessageWriter()
        events = [event for chunk in chunks for event in writer.feed(chunk)]
        return [*events, *writer.finish()]
    if form is Form.COMPLETIONS:
        chunks = [
            {
                **chunk,
                "object": "text_completion",
                "choices": [
                    _text_choice(c, c["delta"].get("content") or "") for c in chunk["choices"]
                ],
            }
            for chunk in chunks
        ]
    return [*map(encode, chunks), DONE]


def _text_choice(choice: Mapping[str, Any], text: str) -> dict[str, Any]:
    kept = {key: choice[key] for key in ("index", "logprobs", "finish_reason")}
    return {**kept, "text": text}


def _write_embeddings(completion: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    given = asked.get("input")
    several = isinstance(given, list) and given and isinstance(given[0], (str, list))
    count = len(given) if isinstance(given, list) and several else 1
    usage = completion.get("usage")
    prompt = usage.get("prompt_tokens") if isinstance(usage, Mapping) else None
    return {
        "object": "list",
        "model": completion.get("model"),
        "data": [
            {"object": "embedding", "index": i, "embedding": list(_VECTOR)} for i in range(count)
        ],
        "usage": None if prompt is None else {"prompt_tokens": prompt, "total_tokens": prompt},
    }
