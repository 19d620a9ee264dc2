"""The forms in which requests and answers go over the wire.

Chat completions are the form in which everything is decided, recorded and learned. Each other form
is translated from and to it; where client and upstream speak the same form, bytes are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any


class Form(StrEnum):
    """An endpoint's form; the value is its path below ``/v1``."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    COMPACTION = "responses/compact"
    MESSAGES = "messages"


class Untranslatable(ValueError):
    """Something has another build than its form gives it, so it can't be told in another form."""


class _Translating:
    """See ``translating``; without a state, so that one serves all."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, AttributeError | IndexError | KeyError | TypeError):
            sentence = f"a field has another type than its form gives it: {error}"
            raise Untranslatable(sentence) from None


_TRANSLATING = _Translating()


def translating() -> _Translating:
    """What trips over JSON of an unexpected build raises ``Untranslatable``.

    Translations read bodies that strangers wrote, dozens of fields each; they say what they expect
    and leave it to this boundary that nothing else gets through.
    """
    return _TRANSLATING


def stem_of(answer_id: Any) -> str:
    """An answer's id without what its form puts before it: that of another form goes there."""
    stem = str(answer_id)
    for prefix in ("chatcmpl-", "msg_", "resp_"):
        stem = stem.removeprefix(prefix)
    return stem


@dataclass(frozen=True, kw_only=True)
class Native:
    """A request as it was sent: its form, its body without ``tutelage``, and those of its headers
    that belong to the form."""

    form: Form
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)
