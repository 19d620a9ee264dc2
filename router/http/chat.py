"""``POST /v1/chat/completions``."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from router.auth import authenticate
from router.deps import Deps
from router.errors import TooLarge
from router.pipeline import run
from router.wire.openai import parse_chat


async def answer_chat(request: Request) -> Response:
    """Read, check, answer; errors are mapped by the application."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers)
    raw = await _read_body(request, deps.settings.server.max_body_bytes)
    delivery = await run(deps, parse_chat(raw), caller)
    headers = dict(delivery.headers)
    if delivery.events is not None:
        return StreamingResponse(delivery.events, headers=headers, media_type="text/event-stream")
    return Response(delivery.body, headers=headers, media_type="application/json")


async def _read_body(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise TooLarge(f"The request body is larger than {limit} bytes.")
        parts.append(part)
    return b"".join(parts)
