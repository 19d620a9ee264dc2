"""What a client is told, in the form in which it asked: whole answers, streams and errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from router.errors import ApiError
from router.wire.answers import is_usage_chunk
from router.wire.form import Form, Native, translating
from router.wire.messages.answers import message_from_completion
from router.wire.messages.stream import MessageWriter
from router.wire.responses.answers import response_from_completion
from router.wire.responses.stream import ResponseWriter
from router.wire.sse import DONE, Last, encode
from router.wire.written_json import write_json

_HEAD = ("id", "object", "created", "model")
_ERROR_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
"""Anthropic's names by status; below 500 the others are ``invalid_request_error``."""

Describe = Callable[[], Mapping[str, Any]]
"""Who answered and for how much, as far as it is known when called."""


class StreamRelay(Protocol):
    """Turns what an upstream streams into what the client is sent."""

    def take(
        self, raw: bytes, event: dict[str, Any], understood: list[dict[str, Any]], *, last: bool
    ) -> list[bytes]:
        """An event in its bytes, parsed, and as chat chunks; ``last``: it ends its stream.

        Raises ``Untranslatable``.
        """
        ...

    def finish(self, usage: Any) -> list[bytes]:
        """What is still due after the last event; ``usage``: as chat completions have it.

        Raises ``Untranslatable``.
        """
        ...

    def fail(self, error: ApiError) -> bytes:
        """The event that says that no more will come."""
        ...


def write_whole(completion: Mapping[str, Any], native: Native | None) -> bytes:
    """A completion as the client's form has it; ``native``: its request, None for chat.

    Raises ``Untranslatable``.
    """
    form = Form.CHAT if native is None else native.form
    with translating():
        if native is not None and form is Form.RESPONSES:
            return write_json(response_from_completion(completion, native.body))
        if form is Form.MESSAGES:
            return write_json(message_from_completion(completion))
    return write_json(completion)


def new_relay(
    native: Native | None, upstream: Form, *, include_usage: bool, describe: Describe
) -> StreamRelay:
    """The relay from an upstream's stream to the client's.

    ``include_usage``: the client asked for a usage chunk, where the form leaves it the choice;
    that chunk also carries what ``describe`` says.
    """
    form = Form.CHAT if native is None else native.form
    if form in (Form.CHAT, Form.COMPLETIONS):
        return _ChunkRelay(include_usage, describe, as_they_came=form is upstream)
    if form is upstream:
        return _EventRelay(form)
    if native is not None and form is Form.RESPONSES:
        return _WritingRelay(form, ResponseWriter(native.body))
    return _WritingRelay(form, MessageWriter())


class _ChunkRelay:
    """Streams that end with ``[DONE]`` and tell usage only to those who ask."""

    def __init__(self, include_usage: bool, describe: Describe, *, as_they_came: bool) -> None:
        self._include_usage = include_usage
        self._describe = describe
        self._as_they_came = as_they_came
        self._told = False
        self._last: Mapping[str, Any] = {}

    def take(
        self, raw: bytes, event: dict[str, Any], understood: list[dict[str, Any]], *, last: bool
    ) -> list[bytes]:
        if self._as_they_came:
            sent = self._adapt(raw, event)
            return [] if sent is None else [sent]
        adapted = [self._adapt(encode(chunk), chunk) for chunk in understood]
        return [sent for sent in adapted if sent is not None]

    def finish(self, usage: Any) -> list[bytes]:
        if not self._include_usage or self._told:
            return [DONE]
        # The chunk that was asked for, where the upstream sent none of its own.
        head = {key: self._last[key] for key in _HEAD if key in self._last}
        return [self._tell({**head, "choices": [], "usage": usage}), DONE]

    def fail(self, error: ApiError) -> bytes:
        return b"data: " + error.body() + b"\n\n"

    def _adapt(self, raw: bytes, chunk: dict[str, Any]) -> bytes | None:
        """The event for the client: usage only where it asked for it, and there with our part."""
        if not self._include_usage:
            if is_usage_chunk(chunk):
                return None
            if "usage" not in chunk:
                return raw
            return encode({key: value for key, value in chunk.items() if key != "usage"})
        self._last = chunk
        return self._tell(chunk) if is_usage_chunk(chunk) else raw

    def _tell(self, chunk: Mapping[str, Any]) -> bytes:
        self._told = True
        return encode({**chunk, "tutelage": self._describe()})


class _EventRelay:
    """Events of the client's own form, passed on as they came."""

    def __init__(self, form: Form) -> None:
        self._form = form
        self._number = 0
        self._ended = False

    def take(
        self, raw: bytes, event: dict[str, Any], understood: list[dict[str, Any]], *, last: bool
    ) -> list[bytes]:
        number = event.get("sequence_number")
        self._number = number + 1 if isinstance(number, int) else self._number
        self._ended = last
        return [Last(raw) if last else raw]

    def finish(self, usage: Any) -> list[bytes]:
        if self._ended or self._form is not Form.MESSAGES:
            return []
        return [Last(encode({"type": "message_stop"}, event="message_stop"))]

    def fail(self, error: ApiError) -> bytes:
        return write_error_event(self._form, error, self._number)


class _WritingRelay:
    """Events of the client's form, written from what was understood."""

    def __init__(self, form: Form, writer: MessageWriter | ResponseWriter) -> None:
        self._form = form
        self._writer = writer

    def take(
        self, raw: bytes, event: dict[str, Any], understood: list[dict[str, Any]], *, last: bool
    ) -> list[bytes]:
        with translating():
            return [sent for chunk in understood for sent in self._writer.feed(chunk)]

    def finish(self, usage: Any) -> list[bytes]:
        with translating():
            return self._writer.finish()

    def fail(self, error: ApiError) -> bytes:
        number = self._writer.number if isinstance(self._writer, ResponseWriter) else 0
        return write_error_event(self._form, error, number)


def write_error_event(form: Form, error: ApiError, number: int) -> bytes:
    """The last event of a broken stream of messages, or of a response: then the ``number``-th.

    A response's error event has its words at the top. OpenAI's client raises only where there is
    an ``error`` object too, and a stream that broke must not pass for a finished one.
    """
    if form is Form.MESSAGES:
        return encode(json.loads(write_error(form, error)), event="error")
    body = json.loads(error.body())
    said = {"code": error.code, "message": error.message, "param": error.param}
    return encode({"type": "error", "sequence_number": number, **said, **body}, event="error")


def form_at(path: str) -> Form:
    """The form that is spoken at an address of ours, for errors."""
    return Form.MESSAGES if path.startswith("/v1/messages") else Form.CHAT


def write_error(form: Form, error: ApiError) -> bytes:
    """The body of an error in the form's shape; an upstream's own in that shape stays as it is."""
    body = error.body()
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return body
    theirs = isinstance(said, dict) and said.get("type") == "error"
    if theirs is (form is Form.MESSAGES):
        return body
    inner = said.get("error") if isinstance(said, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    message = inner.get("message") or error.message
    if form is not Form.MESSAGES:
        kind = inner.get("type") or error.type
        return json.dumps(
            {"error": {"message": message, "type": kind, "param": None, "code": None}}
        ).encode()
    fallback = "invalid_request_error" if error.status < 500 else "api_error"
    kind = _ERROR_TYPES.get(error.status, fallback)
    written = {"type": "error", "error": {"type": kind, "message": message}}
    if error.code is not None:
        written["error"]["code"] = error.code  # type: ignore[index]
    return json.dumps(written).encode()
