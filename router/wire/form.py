"""The forms in which requests and answers go over the wire.

Chat completions are the form in which everything is decided, recorded and learned. Each other form
is translated from and to it; where client and upstream speak the same form, bytes are passed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Form(StrEnum):
    """An endpoint's form; the value is its path below ``/v1``."""

    CHAT = "chat/completions"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    RESPONSES = "responses"
    COMPACTION = "responses/compact"
    MESSAGES = "messages"


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
