"""Everything that can go wrong before an answer begins, mapped once to the errors users see.

Failures are values here, not exceptions: what a connection raises is of no use to who asked, and an
exception raised while it is handled would drag it into every traceback.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.upstream.connection import Closed, NotConnected, NotHttp, Silent
from router.upstream.model import (
    Billing,
    CallError,
    CallFailed,
    CallRejected,
    CallTimedOut,
    UpstreamTarget,
)
from router.upstream.pool import BadAddress
from router.upstream.retry import is_retryable
from router.wire.form import Form
from router.wire.hearing import understand
from router.wire.written_json import read_json

_FORWARDED_ERROR_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry")
_NOT_THE_REQUESTS_FAULT = frozenset({401, 402, 404, 408, 409, 429})
"""Errors about our key, our account, the model's name or the moment. 403 isn't among them: some
servers answer it to a prompt that their filter refuses."""
_MIN_SECRET_CHARS = 8
"""Shorter keys are placeholders ("EMPTY"); blotting them out would garble ordinary words."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A try that failed. ``reason``: a few words for the record; ``headers``: of the answer;
    ``billing``: what the upstream charges for it."""

    error: CallError
    reason: str
    retryable: bool
    billing: Billing = "nothing"
    headers: Mapping[str, str] = field(default_factory=dict)


def from_exception(exc: OSError | BadAddress, target: UpstreamTarget, *, answered: bool) -> Failure:
    """Map what a connection raised; ``answered``: part of the answer had arrived."""
    name = f"The upstream of model '{target.key}'"
    if isinstance(exc, NotConnected):
        reason = f"no connection within {target.connect_timeout_s:g} s"
        message = f"{name} could not be reached: {reason}."
        return Failure(error=CallTimedOut(message), reason=reason, retryable=True)
    if isinstance(exc, Silent):
        reason = f"silent for {target.first_byte_timeout_s:g} s"
        message = f"{name} was {reason}."
        error = CallTimedOut(message)
        return Failure(error=error, reason=reason, retryable=False, billing="unknown")
    if isinstance(exc, TimeoutError):
        reason = f"no complete answer within {target.total_timeout_s:g} s"
        message = f"{name} gave {reason}."
        error = CallTimedOut(message)
        return Failure(error=error, reason=reason, retryable=False, billing="unknown")
    reason, transient = _describe(exc)
    verb = "broke off its answer" if answered else "could not be reached"
    message = f"{name} {verb}: {reason}."
    return Failure(
        error=CallFailed(message),
        reason=reason,
        retryable=transient and not answered,
        billing="unknown" if answered else "nothing",
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
    error.falls_over = status < 400 or status >= 500 or status in _NOT_THE_REQUESTS_FAULT
    error.down = status >= 500
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
    return Failure(
        error=CallFailed(message),
        reason=f"answered {reason}",
        retryable=False,
        billing="unknown",
    )


def from_empty_stream(target: UpstreamTarget) -> Failure:
    """Map a stream that ended before it began: as good as a connection that was closed."""
    reason = "the stream ended before its first chunk"
    message = f"The upstream of model '{target.key}' gave no answer: {reason}."
    return Failure(error=CallFailed(message), reason=reason, retryable=True, billing="unknown")


def read_answer(raw: bytes, form: Form) -> dict[str, Any] | str:
    """The answer understood as a completion, or what it is instead."""
    payload = _parse(raw)
    if payload is None:
        return "something that is not JSON"
    if not isinstance(payload, dict):
        return "JSON that is no answer"
    try:
        return understand(form, payload)
    except ValueError as error:
        return describe_error(payload) or str(error)


def describe_error(payload: Mapping[str, Any]) -> str | None:
    """What an error object in place of an answer says, ``None`` where there is no such object.

    Some forms name an event ``error`` and put what it says beside that, or fail a whole response.
    """
    error = payload.get("error")
    response = payload.get("response")
    if not error and isinstance(response, dict):
        error = response.get("error")
    if not error and payload.get("type") == "error":
        error = payload
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
        return read_json(raw)
    except (ValueError, RecursionError):
        return None


def _describe(exc: OSError | BadAddress) -> tuple[str, bool]:
    """A few words for a broken connection, and whether another try may go better."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return "its TLS certificate is not trusted", False
    if isinstance(exc, ssl.SSLError):
        return "the TLS handshake failed", False
    if isinstance(exc, socket.gaierror):
        return "its host name can't be resolved", True
    if isinstance(exc, Closed):
        return str(exc), True
    if isinstance(exc, (BadAddress, NotHttp)):
        return str(exc), False
    number = exc.errno or 0
    return os.strerror(number).lower() if number > 0 else "the connection failed", True
