"""``POST /v1/feedback``: what a client says of an answer that it got."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.exc import IntegrityError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.auth import authenticate, has_admin_key
from router.deps import Deps
from router.errors import BadRequest, NotFound
from router.http.client import read_body
from router.record.model import Feedback
from router.record.redact import Redactor
from router.wire.strict_json import JsonError, load_json, make_well_formed

_FIELDS: Final = frozenset({"id", "score", "correction", "label"})
_MOST_CHARS: Final = 100_000
_NOT_FOUND: Final = (
    "No such interaction: give the x-tutelage-id of an answer to this key; it is known a second "
    "after the answer."
)


async def take_feedback(request: Request) -> Response:
    """Store what is said of the caller's own interaction, in place of what was said before; with
    the admin key of anyone's."""
    deps: Deps = request.app.state.deps
    key_name = None  # of the operator, who may judge every answer
    if not has_admin_key(deps.settings, request.headers):
        key_name = authenticate(deps.settings, request.headers, request.url.path).key_name
    raw = await read_body(request.receive, deps.settings.server.max_body_bytes)
    given = read_feedback(raw, deps.redactor)
    found = await run_in_threadpool(deps.store.interaction, given.interaction_id)
    if found is None or key_name not in (None, found.key_name):
        raise NotFound(_NOT_FOUND, param="id", code="interaction_not_found")
    if not found.stored and (given.correction is not None or given.label is not None):
        raise BadRequest(
            "The interaction was sent with store: false, so nothing is kept of it but a score.",
            param="correction" if given.correction is not None else "label",
            code="interaction_not_stored",
        )
    try:
        kept = await run_in_threadpool(deps.store.put_feedback, given)
    except IntegrityError:  # erased meanwhile
        raise NotFound(_NOT_FOUND, param="id", code="interaction_not_found") from None
    return JSONResponse(
        {
            "id": kept.interaction_id,
            "object": "feedback",
            "created": int(kept.at),
            "score": kept.score,
            "correction": kept.correction,
            "label": kept.label,
        }
    )


def read_feedback(raw: bytes, redactor: Redactor) -> Feedback:
    """The body, checked and redacted. Raises BadRequest, whose ``param`` names the field."""
    try:
        body = load_json(raw)
    except JsonError as error:
        raise BadRequest(f"The request body {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.", code="invalid_json")
    for name in body:
        if name not in _FIELDS:
            why = "is unknown: feedback has id, score, correction and label"
            raise _refuse(name[:100], why, "unknown")
    if body.get("id") is None:
        raise _refuse("id", "is missing: the x-tutelage-id of an answer", "missing")
    if all(body.get(name) is None for name in _FIELDS - {"id"}):
        raise _refuse("score", "is missing: give a score, a correction or a label", "missing")
    return Feedback(
        interaction_id=_read_text(body, "id") or "",
        score=_read_score(body.get("score")),
        correction=redactor.text(text) if (text := _read_text(body, "correction")) else None,
        label=redactor.json(_read_label(body)),
    )


def _read_text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise _refuse(name, "must be a string", "type")
    if not value.strip():
        raise _refuse(name, "must not be empty", "value")
    if len(value) > _MOST_CHARS:
        raise _refuse(name, f"must have at most {_MOST_CHARS:,} characters", "value")
    return make_well_formed(value)


def _read_score(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refuse("score", "must be a number from -1 to 1", "type")
    if not (math.isfinite(value) and -1 <= value <= 1):
        raise _refuse("score", "must be from -1 to 1", "value")
    return float(value)


def _read_label(body: Mapping[str, Any]) -> str | int | float | bool | None:
    value = body.get("label")
    if isinstance(value, str):
        return _read_text(body, "label")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise _refuse("label", "must be a string, a number or a boolean", "type")


_CODES: Final = {
    "unknown": "unknown_parameter",
    "missing": "missing_required_parameter",
    "type": "invalid_type",
    "value": "invalid_value",
}


def _refuse(name: str, why: str, kind: str) -> BadRequest:
    return BadRequest(f"'{name}' {why}.", param=name, code=_CODES[kind])
