"""What the upstream client is told, what it hands back and how it fails.

The errors are those of ``router.errors`` with the attempts that led to them:

CallError
├── CallFailed      an UpstreamFailed: unreachable, reset, or an answer that is no completion
├── CallTimedOut    an UpstreamTimeout: not connected, or silent for too long
└── CallRejected    an UpstreamRejected: the upstream's own error, passed on

``StreamBroken`` comes later, out of a stream whose first chunk had arrived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any
from urllib.parse import urlsplit

from router.errors import (
    ApiError,
    ConfigError,
    TutelageError,
    UpstreamFailed,
    UpstreamRejected,
    UpstreamTimeout,
)


@dataclass(frozen=True, kw_only=True)
class UpstreamTarget:
    """A configured model and how to reach it.

    ``key``: its name in the configuration; ``base_url``: up to and including ``/v1``; ``model``:
    the name that the upstream knows it by. ``first_byte_timeout_s``: the longest silence allowed,
    before the answer begins and between its parts; ``total_timeout_s``: for the whole call with
    all its tries and waits. ``retries``: further tries after the first.
    """

    key: str
    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    connect_timeout_s: float = 2.0
    first_byte_timeout_s: float = 30.0
    total_timeout_s: float = 120.0
    retries: int = 2

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
    ``sent``: false where no connection came about, so that nothing can have been billed.
    """

    started_at: float
    latency_ms: float
    first_byte_ms: float | None = None
    status: int | None = None
    error: str | None = None
    sent: bool = True


class AttemptClock:
    """A try while it runs; the clock starts with it."""

    def __init__(self) -> None:
        self._started_at = time()
        self._start_s = perf_counter()
        self._first_byte_ms: float | None = None
        self._status: int | None = None

    def note_status(self, status: int) -> None:
        """The answer's headers have come."""
        self._status = status

    def note_first_byte(self) -> None:
        """The answer's first part has come."""
        self._first_byte_ms = self._elapsed_ms()

    def log(self, *, error: str | None = None, sent: bool = True) -> AttemptLog:
        """The try as it stands now."""
        return AttemptLog(
            started_at=self._started_at,
            latency_ms=self._elapsed_ms(),
            first_byte_ms=self._first_byte_ms,
            status=self._status,
            error=error,
            sent=sent,
        )

    def _elapsed_ms(self) -> float:
        return (perf_counter() - self._start_s) * 1000


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A complete answer: ``raw`` as it came, ``payload`` the same parsed.

    ``headers``: lower-case names; those of the connection, the encoding and cookies are left out.
    """

    status: int
    raw: bytes = field(repr=False)
    payload: dict[str, Any]
    headers: Mapping[str, str]
    attempts: tuple[AttemptLog, ...]


class CallError(ApiError):
    """A call that failed; ``attempts``: every try, the last of which decided."""

    attempts: tuple[AttemptLog, ...] = ()


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
