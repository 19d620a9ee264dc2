"""What an upstream says, in whatever form, understood as chat completions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from router.wire.form import Form, translating
from router.wire.messages.answers import completion_from_message
from router.wire.messages.stream import MessageReader
from router.wire.passed_through import (
    TextReader,
    completion_from_compaction,
    completion_from_embeddings,
    completion_from_text,
)
from router.wire.responses.answers import completion_from_response
from router.wire.responses.stream import ResponseReader


class StreamReader(Protocol):
    """Understands a stream; ``ended``: its last event has come.

    ``feed`` may trip over an event of another build: call it where ``translating``.
    """

    ended: bool

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        """The ``chat.completion.chunk`` objects that an event stands for."""
        ...

    def close(self) -> list[dict[str, Any]]:
        """What is known after the last event, should it not have been told."""
        ...


class _ChatReader:
    """Chat chunks as they are."""

    ended = False

    def feed(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        return [event]

    def close(self) -> list[dict[str, Any]]:
        return []


def _check_completion(payload: Mapping[str, Any]) -> dict[str, Any]:
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ValueError("JSON that is no chat completion: it has no choices")
    if not all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in choices):
        raise ValueError("JSON that is no chat completion: a choice has no message")
    return dict(payload)


_WHOLE: Mapping[Form, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    Form.CHAT: _check_completion,
    Form.COMPLETIONS: completion_from_text,
    Form.EMBEDDINGS: completion_from_embeddings,
    Form.RESPONSES: completion_from_response,
    Form.COMPACTION: completion_from_compaction,
    Form.MESSAGES: completion_from_message,
}
_READERS: Mapping[Form, Callable[[], StreamReader]] = {
    Form.CHAT: _ChatReader,
    Form.COMPLETIONS: TextReader,
    Form.RESPONSES: ResponseReader,
    Form.MESSAGES: MessageReader,
}


def understand(form: Form, payload: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer as a completion; one of embeddings has no choices.

    Raises ``ValueError`` whose text completes "The upstream answered ...".
    """
    with translating():
        return _WHOLE[form](payload)


def new_reader(form: Form) -> StreamReader:
    """A reader for one stream of a form that has streams."""
    return _READERS[form]()
