"""What the upstream client is told, what it hands back and how it fails.

The errors are those of ``router.errors`` with the attempts that led to them:

CallError
├── CallFailed      an UpstreamFailed: unreachable, reset, or an answer that is no completion
├── CallTimedOut    an UpstreamTimeout: not connected, or silent for too long
└── CallRejected    an UpstreamRejected: the upstream's own error, passed on

``StreamBroken`` comes later, out of a stream whose first chunk had arrived.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any, Literal
from urllib.parse import urlsplit

from router.errors import (
    ApiError,
    ConfigError,
    TutelageError,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)
from router.telemetry.context import current_span, new_span_id
from router.wire.calls import Dialect
from router.wire.form import Form

Billing = Literal["nothing", "answer", "unknown"]
"""What an upstream charges for a try, as far as can be told from here: nothing where it refused or
was lost before its answer began; an answer, by its usage; unknown where it may have begun one."""


@dataclass(frozen=True, kw_only=True)
class UpstreamTarget:
    """A configured model and how to reach it.

    ``key``: its name in the configuration; ``base_url``: up to and including ``/v1``; ``model``:
    the name that the upstream knows it by. ``first_byte_timeout_s``: the longest silence allowed,
    before the answer begins and between its parts; ``total_timeout_s``: for the whole call with
    all its tries and waits. ``retries``: further tries after the first, none of them after a wait
    of more than ``longest_wait_s``. ``dialect``: what it speaks. ``fallbacks``: whom to ask where
    this one fails, in order, all within the total of this one; their own fallbacks play no part.
    ``hedge_after_s``: how long to wait before they are asked beside it; None for never.
    """

    key: str
    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 2.0
    first_byte_timeout_s: float = 30.0
    total_timeout_s: float = 120.0
    retries: int = 2
    dialect: Dialect = "openai"
    longest_wait_s: float = math.inf
    fallbacks: tuple[UpstreamTarget, ...] = ()
    hedge_after_s: float | None = None

    def __post_init__(self) -> None:
        if self.api_key is not None and not self.api_key.isprintable():
            raise ConfigError(
                f"The API key of model '{self.key}' holds a line break or another unprintable "
                "character; set it without."
            )
        if "@" in urlsplit(self.base_url).netloc:
            raise ConfigError(
                f"The upstream of model '{self.key}' holds a user name or password; "
                "give the secret through api_key_env instead."
            )


@dataclass(frozen=True, kw_only=True)
class AttemptLog:
    """One try of a call.

    ``started_at``: seconds since the epoch; ``first_byte_ms``: until the answer's headers, for a
    stream until its first chunk; ``error``: why the try failed, in a few words without secrets;
    ``model``: key of the one that was asked, empty for the model that the call was about;
    ``span_id``: its span, empty where nobody traces.
    """

    started_at: float
    latency_ms: float
    first_byte_ms: float | None = None
    status: int | None = None
    error: str | None = None
    model: str = ""
    billing: Billing = "answer"
    span_id: str = ""


class AttemptClock:
    """A try of ``model`` while it runs; the clock starts with it."""

    def __init__(self, model: str = "") -> None:
        self._model = model
        self._started_at = time()
        self._start_s = perf_counter()
        self._first_byte_ms: float | None = None
        self._status: int | None = None
        self._span = current_span()
        self._span_id = "" if self._span is None else new_span_id()

    def add_trace(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        """The same headers, with those that make the upstream's work a part of the trace."""
        span = self._span
        return headers if span is None else {**headers, **span.headers_for(self._span_id)}

    def note_status(self, status: int) -> None:
        """The answer's headers have come."""
        self._status = status

    def note_first_byte(self) -> None:
        """The answer's first part has come."""
        self._first_byte_ms = self._elapsed_ms()

    def log(self, *, error: str | None = None, billing: Billing = "answer") -> AttemptLog:
        """The try as it stands now."""
        return AttemptLog(
            started_at=self._started_at,
            latency_ms=self._elapsed_ms(),
            first_byte_ms=self._first_byte_ms,
            status=self._status,
            error=error,
            model=self._model,
            billing=billing,
            span_id=self._span_id,
        )

    def _elapsed_ms(self) -> float:
        return (perf_counter() - self._start_s) * 1000


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A complete answer: ``raw`` as it came in ``form``, ``payload`` understood as a completion."""

    status: int
    raw: bytes = field(repr=False)
    payload: dict[str, Any]
    attempts: tuple[AttemptLog, ...]
    form: Form = Form.CHAT


class CallError(ApiError):
    """A call that failed; ``attempts``: every try, the last of which decided.

    ``falls_over``: another model may answer the same request; false where the request itself was
    refused. ``down``: the upstream is at fault, and likely to be so again.
    """

    attempts: tuple[AttemptLog, ...] = ()
    falls_over = True
    down = True


class CallFailed(CallError, UpstreamFailed):
    """502."""


class CallTimedOut(CallError, UpstreamTimeout):
    """504."""


class CallRejected(CallError, UpstreamRejected):
    """The upstream's own status and body."""


class StreamBroken(TutelageError):
    """A stream that began and can't be completed; what was delivered stays delivered."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The upstream's stream broke off: {reason}.")
        self.reason = reason
