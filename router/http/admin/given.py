"""What the body of a change holds: who makes it, why, and what else it may say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request

from router.errors import BadRequest
from router.http.client import read_body
from router.wire.strict_json import JsonError, load_json

_MOST_BYTES: Final = 100_000
_MOST_CHARS: Final = 1000
_ALWAYS: Final = ("author", "reason")


@dataclass(frozen=True, kw_only=True)
class Given:
    """``more``: the fields besides author and reason."""

    author: str
    reason: str
    more: Mapping[str, Any]

    @property
    def signed_reason(self) -> str:
        """The reason with its author, for where there is one text for both."""
        return f"{self.reason} ({self.author})"


async def read_given(request: Request, allowed: Collection[str] = ()) -> Given:
    """Raises BadRequest, whose ``param`` names the field; ``allowed``: those of ``more``."""
    try:
        body = load_json(await read_body(request.receive, _MOST_BYTES))
    except JsonError as error:
        raise BadRequest(f"The request body {error}.", code="invalid_json") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.", code="invalid_json")
    for name in body:
        if name not in allowed and name not in _ALWAYS:
            listed = ", ".join([*allowed, *_ALWAYS])
            raise BadRequest(
                f"'{name[:100]}' is unknown: use {listed}.",
                param=name[:100],
                code="unknown_parameter",
            )
    author, reason = (_read_text(body, name) for name in _ALWAYS)
    return Given(author=author, reason=reason, more={k: body[k] for k in allowed if k in body})


def _read_text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        message = f"'{name}' is missing: every change says by whom and why."
        raise BadRequest(message, param=name, code="missing_required_parameter")
    if not isinstance(value, str) or not value.strip() or len(value) > _MOST_CHARS:
        message = f"'{name}' must be a text of 1 to {_MOST_CHARS} characters."
        raise BadRequest(message, param=name, code="invalid_value")
    return value.strip()
