"""What an upstream may do in place of answering, one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class ErrorAnswer:
    """Answer ``status``; ``body`` defaults to an error object in OpenAI's shape."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class HtmlAnswer:
    """Answer an HTML page, as proxies do."""

    status: int = 200


@dataclass(frozen=True, kw_only=True)
class GarbageAnswer:
    """Answer 200 with ``text`` for a body; in a stream, as the chunk after ``after_chunks``."""

    text: str = '{"choices": ['
    after_chunks: int = 0


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Say nothing any more, before the answer's headers or after them."""

    after_headers: bool = False


@dataclass(frozen=True, kw_only=True)
class Reset:
    """Reset the connection before the answer's headers, or after them and ``after_chunks``."""

    after_headers: bool = False
    after_chunks: int = 0


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Close the connection after ``after_chunks`` of a stream, or in the middle of a whole answer.

    ``clean``: with the proper end of an HTTP body, as when the upstream's own upstream broke.
    """

    after_chunks: int = 1
    clean: bool = False


@dataclass(frozen=True, kw_only=True)
class Stall:
    """Fall silent after ``after_chunks`` of a stream, or in the middle of a whole answer."""

    after_chunks: int = 1


@dataclass(frozen=True, kw_only=True)
class MissingDone:
    """End a stream properly, but without ``[DONE]``."""


Fault = ErrorAnswer | HtmlAnswer | GarbageAnswer | Hang | Reset | Cut | Stall | MissingDone
