"""What a client is told when a request fails: every error in the form spoken at its address."""

from __future__ import annotations

import uuid

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from router.errors import ApiError, BadRequest, StoreError
from router.wire.form import Form
from router.wire.speaking import form_at, write_error

_RETRY_AFTER_S = "1"


def write_failure(path: str, error: Exception) -> Response:
    """The response to a request at ``path`` that ended in ``error``, of which a bug isn't told."""
    if isinstance(error, ApiError):
        return _write(path, error)
    if isinstance(error, StoreError):
        headers = {"retry-after": _RETRY_AFTER_S}
        failed = ApiError(f"{error}.", status=503, code="store_failed", headers=headers)
        return _write(path, failed)
    return _write(path, ApiError("The gateway failed on this request; its log says why."))


def add_failure_handlers(app: FastAPI) -> None:
    """Have the framework's own routes fail in the same way."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            sentence = f"{error.detail}: {request.method} {request.url.path}"
            error = BadRequest(sentence, status=error.status_code, headers=error.headers)
        return write_failure(request.url.path, error)

    for kind in (ApiError, StoreError, HTTPException, Exception):
        app.add_exception_handler(kind, answer)


def _write(path: str, error: ApiError) -> Response:
    headers = {**error.headers, "content-type": "application/json"}
    if error.status == 429:
        headers.setdefault("retry-after", _RETRY_AFTER_S)  # an upstream may not have said
    if "x-request-id" not in headers:  # no interaction came of it: for whoever reads two logs
        headers["x-request-id"] = f"req_{uuid.uuid4().hex}"
    form = form_at(path)
    if form is Form.MESSAGES:
        headers["request-id"] = headers["x-request-id"]
    body = write_error(form, error)
    return Response(body, status_code=error.status, headers=headers)
