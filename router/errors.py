"""Errors that users see, each mapped once at the boundary where it leaves the system.

TutelageError
├── ConfigError      the configuration can't be used        → terminal, exit 1
├── StoreError       the store can't be read or written     → terminal, exit 1; HTTP 503
├── ReleaseError     a release is damaged or unknown        → terminal, exit 1
└── ApiError         an HTTP answer in OpenAI's error shape
    ├── BadRequest           400 invalid_request_error
    ├── NotFound             404
    ├── Unauthorized         401
    ├── Forbidden            403
    ├── TooLarge             413
    ├── RateLimited          429
    ├── QuotaExceeded        429 insufficient_quota
    ├── UpstreamFailed       502 (unreachable, or an answer that isn't JSON)
    ├── UpstreamTimeout      504 (silent)
    └── UpstreamRejected     the upstream's own status and body, passed on
"""

from __future__ import annotations

import json
from collections.abc import Mapping


class TutelageError(Exception):
    """Root of all errors of this project; ``str()`` is one sentence that says what to do."""


class ConfigError(TutelageError):
    """The configuration can't be used as it stands."""


class UsageError(TutelageError):
    """Options of a command that don't go together."""


class StoreError(TutelageError):
    """The store can't be read or written."""


class ReleaseError(TutelageError):
    """A release is missing, damaged or of another format."""


class ApiError(TutelageError):
    """An answer other than 200, in OpenAI's shape."""

    status = 500
    type = "server_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code if code is not None else type(self).code
        self.status = status if status is not None else type(self).status
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """The JSON body: ``{"error": {message, type, param, code}}``."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
        }
        return json.dumps({"error": error}).encode()


class BadRequest(ApiError):
    status = 400
    type = "invalid_request_error"


class NotFound(ApiError):
    status = 404
    type = "invalid_request_error"
    code = "not_found"


class Unauthorized(ApiError):
    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class Forbidden(ApiError):
    status = 403
    type = "permission_error"
    code = "forbidden"


class RateLimited(ApiError):
    """The caller is too fast; ``retry-after`` says when to try again."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class QuotaExceeded(ApiError):
    """A budget has no room: trying again at once won't help, which ``x-should-retry`` says."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"


class TooLarge(ApiError):
    status = 413
    type = "invalid_request_error"
    code = "request_too_large"


class UpstreamFailed(ApiError):
    """The upstream can't be reached or answers something that isn't JSON."""

    status = 502
    type = "upstream_error"
    code = "upstream_failed"


class UpstreamTimeout(ApiError):
    """The upstream stayed silent past its time limit."""

    status = 504
    type = "upstream_error"
    code = "upstream_timeout"


class UpstreamRejected(ApiError):
    """The upstream answered with an error of its own; status and body are passed on."""

    def __init__(
        self, message: str, *, status: int, raw: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, status=status, headers=headers)
        self.raw = raw

    def body(self) -> bytes:
        return self.raw
