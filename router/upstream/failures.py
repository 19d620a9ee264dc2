"""Everything that can go wrong before an answer begins, mapped once to the errors users see.

Failures are values here, not exceptions: aiohttp's exceptions carry the request's headers, and an
exception raised while one of them is handled would drag the key into every traceback.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from router.upstream.model import (
    CallError,
    CallFailed,
    CallRejected,
    CallTimedOut,
    UpstreamTarget,
)
from router.upstream.retry import is_retryable

_FORWARDED_ERROR_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")
_MIN_SECRET_CHARS = 8
"""Shorter keys are placeholders ("EMPTY"); blotting them out would garble ordinary words."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A try that failed. ``reason``: a few words for the record; ``headers``: of the answer;
    ``sent``: as in ``AttemptLog``."""

    error: CallError
    reason: str
    retryable: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    sent: bool = True


_NEVER_SENT = (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, aiohttp.InvalidURL)


def from_exception(
    exc: aiohttp.ClientError | TimeoutError | OSError, target: UpstreamTarget, *, answered: bool
) -> Failure:
    """Map what aiohttp raised; ``answered``: part of the answer had arrived."""
    name = f"The upstream of model '{target.key}'"
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        reason = f"no connection within {target.connect_timeout_s:g} s"
        message = f"{name} could not be reached: {reason}."
        return Failure(error=CallTimedOut(message), reason=reason, retryable=True, sent=False)
    if isinstance(exc, aiohttp.ServerTimeoutError):
        reason = f"silent for {target.first_byte_timeout_s:g} s"
        message = f"{name} was {reason}."
        return Failure(error=CallTimedOut(message), reason=reason, retryable=False)
    if isinstance(exc, TimeoutError):
        reason = f"no complete answer within {target.total_timeout_s:g} s"
        message = f"{name} gave {reason}."
        return Failure(error=CallTimedOut(message), reason=reason, retryable=False)
    reason, transient = _describe(exc)
    verb = "broke off its answer" if answered else "could not be reached"
    message = f"{name} {verb}: {reason}."
    return Failure(
        error=CallFailed(message),
        reason=reason,
        retryable=transient and not answered,
        sent=not isinstance(exc, _NEVER_SENT),
    )


def from_rejection(
    status: int, headers: Mapping[str, str], raw: bytes | None, target: UpstreamTarget
) -> Failure:
    """Map an answer other than 2xx; ``raw`` is ``None`` where the body was too long to read.

    A JSON object is passed on as it came, with our key blotted out should it be quoted; of
    anything else, such as an HTML page, only the status is told.
    """
    passed_on = {key: headers[key] for key in _FORWARDED_ERROR_HEADERS if key in headers}
    error: CallError
    if status >= 400 and raw is not None and isinstance(_parse(raw), dict):
        error = CallRejected(
            f"The upstream of model '{target.key}' answered {status}.",
            status=status,
            raw=_hide_key_in_bytes(raw, target),
            headers=passed_on,
        )
    else:
        error = CallFailed(
            f"The upstream of model '{target.key}' answered {status} without a JSON error body.",
            headers=passed_on,
        )
    return Failure(
        error=error,
        reason=f"answered {status}",
        retryable=is_retryable(status, headers),
        headers=headers,
    )


def from_nonsense(reason: str, target: UpstreamTarget) -> Failure:
    """Map an answer of 2xx that is no completion. Asking again would cost the same again.

    ``reason`` completes "The upstream answered ..." and may quote the upstream.
    """
    reason = hide_key(reason, target)
    message = f"The upstream of model '{target.key}' answered {reason}."
    return Failure(error=CallFailed(message), reason=f"answered {reason}", retryable=False)


def from_empty_stream(target: UpstreamTarget) -> Failure:
    """Map a stream that ended before it began: as good as a connection that was closed."""
    reason = "the stream ended before its first chunk"
    message = f"The upstream of model '{target.key}' gave no answer: {reason}."
    return Failure(error=CallFailed(message), reason=reason, retryable=True)


def read_completion(raw: bytes) -> dict[str, Any] | str:
    """The parsed completion, or what the answer is instead."""
    payload = _parse(raw)
    if payload is None:
        return "something that is not JSON"
    if not isinstance(payload, dict):
        return "JSON that is no chat completion"
    choices = payload.get("choices")
    if not isinstance(choices, list) or not choices:
        return describe_error(payload) or "JSON that is no chat completion: it has no choices"
    if not all(isinstance(c, dict) and isinstance(c.get("message"), dict) for c in choices):
        return "JSON that is no chat completion: a choice has no message"
    return payload


def describe_error(payload: Mapping[str, Any]) -> str | None:
    """What an error object in place of an answer says, ``None`` where there is no such object."""
    error = payload.get("error")
    if not error:
        return None
    said = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(said, str):
        return "an error instead"
    return f"an error instead: {said[:300].strip().rstrip('.')}"


def hide_key(text: str, target: UpstreamTarget) -> str:
    """``text`` without the target's key, should the upstream have quoted it."""
    return _hide_key_in_bytes(text.encode("utf-8", "replace"), target).decode()


def _hide_key_in_bytes(raw: bytes, target: UpstreamTarget) -> bytes:
    if target.api_key is None or len(target.api_key) < _MIN_SECRET_CHARS:
        return raw
    return raw.replace(target.api_key.encode(), b"***")


def _parse(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _describe(exc: Exception) -> tuple[str, bool]:
    """A few words for a broken connection, and whether another try may go better."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return "its TLS certificate is not trusted", False
    if isinstance(exc, aiohttp.ClientSSLError):
        return "the TLS handshake failed", False
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return "its host name can't be resolved", True
    if isinstance(exc, aiohttp.InvalidURL):
        return "its address is not a valid URL", False
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the connection was closed", True
    if isinstance(exc, aiohttp.ClientPayloadError):
        return "the connection was closed before its end", True
    if isinstance(exc, (aiohttp.ClientConnectionError, OSError)):
        number = (exc.errno or 0) if isinstance(exc, OSError) else 0
        return os.strerror(number).lower() if number > 0 else "the connection failed", True
    return "it does not speak HTTP", False
