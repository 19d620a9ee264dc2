"""Requests that no student can answer, read only to be metered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from router.wire.fields import load_body, missing, read_flag, read_text, wrong_type
from router.wire.form import Form, Native
from router.wire.options import read_options
from router.wire.requests import ChatRequest, read_choices, read_include_usage
from router.wire.responses.answers import usage_from_response

PASSED_THROUGH = "passed_through"
"""The reason in the trace of a request that only an upstream can answer."""

_INPUTS = {Form.COMPLETIONS: "prompt", Form.EMBEDDINGS: "input", Form.COMPACTION: "input"}


def parse_passed_through(raw: bytes, form: Form) -> ChatRequest:
    """Read the body of ``POST /v1/completions``, ``/v1/embeddings`` or ``/v1/responses/compact``.

    Raises ``BadRequest`` that names the field.
    """
    body = load_body(raw)
    options = read_options(body.pop("tutelage", None))
    key = _INPUTS[form]
    if form is Form.EMBEDDINGS and body.get(key) is None:
        raise missing(key)
    if not isinstance(body.get(key, ""), (str, list, type(None))):
        raise wrong_type(key, "a string or an array", body[key])
    stream = form is Form.COMPLETIONS and read_flag(body, "stream", default=False)
    return ChatRequest(
        body=body,
        model=read_text(body, "model"),
        stream=stream,
        include_usage=read_include_usage(body) if stream else False,
        n=_count_choices(body) if form is Form.COMPLETIONS else 1,
        messages=[],
        options=options,
        native=Native(form=form, body=body),
        pinned=PASSED_THROUGH,
        learnable=False,
    )


def _count_choices(body: dict[str, Any]) -> int:
    """One for each prompt and ``n``; a list of numbers is one prompt in tokens."""
    prompts = body.get("prompt")
    several = isinstance(prompts, list) and any(isinstance(p, (str, list)) for p in prompts)
    return read_choices(body) * (len(prompts) if several and isinstance(prompts, list) else 1)


def completion_from_text(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A ``text_completion`` as a ``chat.completion``. Raises ``ValueError``: what it is instead."""
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("JSON that is no completion: it has no choices")
    if not all(isinstance(c, dict) and isinstance(c.get("text"), str) for c in choices):
        raise ValueError("JSON that is no completion: a choice has no text")
    said = [{**c, "message": {"role": "assistant", "content": c["text"]}} for c in choices]
    return {**payload, "choices": said}


def completion_from_compaction(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a shortened conversation cost, in the form of a completion without an answer.

    Raises ``ValueError``: what it is instead.
    """
    if not isinstance(payload.get("output"), list):
        raise ValueError("JSON that is no compaction: it has no output")
    return {"model": None, "choices": [], "usage": usage_from_response(payload.get("usage"))}


def completion_from_embeddings(payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a list of embeddings cost, in the form of a completion without an answer.

    Raises ``ValueError``: what it is instead.
    """
    if not isinstance(payload.get("data"), list):
        raise ValueError("JSON that is no list of embeddings: it has no data")
    usage = payload.get("usage")
    if isinstance(usage, Mapping):
        usage = {"completion_tokens": 0, **usage}
    return {"model": payload.get("model"), "choices": [], "usage": usage}


class TextReader:
    """Chat chunks out of those of a text completion. ``ended``: never; the form ends in [DONE]."""

    ended = False

    def feed(self, chunk: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Take one chunk."""
        given = chunk.get("choices")
        choices = [
            {**choice, "delta": {"content": choice.get("text")}}
            for choice in (given if isinstance(given, list) else ())
            if isinstance(choice, dict)
        ]
        return [{**chunk, "choices": choices}]

    def close(self) -> list[dict[str, Any]]:
        """Nothing: every chunk was told as it came."""
        return []
