"""What costs nothing and is no interaction: counts of tokens, and answers that a teacher keeps.

A count comes from the teacher's upstream; where that has none, it is an estimate and says so. What
is kept at the upstream can be read, changed and deleted through the gateway, but only where all
keys belong to one tenant, since the upstream knows but one owner of it all.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.auth import Caller, authenticate, check_state_is_open
from router.deps import Deps
from router.errors import BadRequest, NotFound
from router.http.client import read_body
from router.scopes import check_model
from router.upstream.forward import Inquiry
from router.upstream.model import UpstreamTarget
from router.wire.fields import load_body
from router.wire.messages.incoming import parse_count
from router.wire.openai import count_prompt_chars

_CHARS_PER_TOKEN = 4
_COUNT_PATH = "messages/count_tokens"
_ID = re.compile(r"[A-Za-z0-9_-]{1,200}")
_KEPT: Mapping[str, list[str]] = {
    "responses/input_tokens": ["POST"],
    "responses/{id}": ["GET", "DELETE"],
    "responses/{id}/cancel": ["POST"],
    "responses/{id}/input_items": ["GET"],
    "chat/completions": ["GET"],
    "chat/completions/{id}": ["GET", "POST", "DELETE"],
    "chat/completions/{id}/messages": ["GET"],
}


def unmetered_routes() -> list[Route]:
    """The routes of counts and of what upstreams keep."""
    return [
        Route(f"/v1/{_COUNT_PATH}", count_tokens, methods=["POST"]),
        *(Route(f"/v1/{path}", _forwarding(), methods=ways) for path, ways in _KEPT.items()),
    ]


async def count_tokens(request: Request) -> Response:
    """``POST /v1/messages/count_tokens``: ``{"input_tokens": n}``."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers, request.url.path)
    raw = await read_body(request.receive, deps.settings.server.max_body_bytes)
    asked = parse_count(raw, request.headers)
    target = _find_target(deps, asked.model, caller)
    if target.dialect != "anthropic" or asked.native is None:
        chars = count_prompt_chars(asked.body) + len(json.dumps(asked.body.get("tools") or ""))
        body = json.dumps({"input_tokens": -(-chars // _CHARS_PER_TOKEN)}).encode()
        return _write(body, "application/json", target, "estimated")
    inquiry = Inquiry(
        method="POST",
        path=_COUNT_PATH,
        body={**asked.native.body, "model": target.model},
        headers={"anthropic-version": "2023-06-01", **asked.native.headers},
    )
    found = await deps.upstream.forward(target, inquiry)
    return _write(found.raw, found.content_type, target, "counted")


def _forwarding() -> Callable[[Request], Awaitable[Response]]:
    async def forward(request: Request) -> Response:
        """Pass the request on to the teacher's upstream."""
        deps: Deps = request.app.state.deps
        caller = authenticate(deps.settings, request.headers, request.url.path)
        check_state_is_open(deps.settings)
        if not _ID.fullmatch(request.path_params.get("id", "-")):
            raise NotFound("There is nothing of that name.")
        raw = await read_body(request.receive, deps.settings.server.max_body_bytes)
        body = load_body(raw) if raw else None
        named = None if body is None else body.get("model")
        target = _find_target(deps, named if isinstance(named, str) else "auto", caller)
        if target.dialect != "openai":
            raise BadRequest(
                "The model's upstream speaks Anthropic's dialect, which keeps no answers: ask a"
                " model whose upstream speaks OpenAI's.",
                param="model",
                code="unsupported_by_model",
            )
        if body is not None and named is not None:
            body["model"] = target.model
        inquiry = Inquiry(
            method=request.method,
            path=request.url.path.removeprefix("/v1/"),
            query=request.url.query,
            body=body,
        )
        found = await deps.upstream.forward(target, inquiry)
        return _write(found.raw, found.content_type, target, "server_state")

    return forward


def _find_target(deps: Deps, name: str, caller: Caller) -> UpstreamTarget:
    check_model(caller.scopes, name)
    resolved = deps.settings.resolve_model(name)
    target = None if resolved is None else deps.targets.get(resolved.key)
    if target is None:
        raise NotFound(
            f"The model '{name}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )
    return target


def _write(body: bytes, media_type: str, target: UpstreamTarget, reason: str) -> Response:
    request_id = f"req_{uuid.uuid4().hex}"
    headers = {
        "x-request-id": request_id,
        "request-id": request_id,
        "x-tutelage-tier": "teacher",
        "x-tutelage-model": target.key,
        "x-tutelage-reason": reason,
        "x-tutelage-cost-usd": "0",
    }
    return Response(body, headers=headers, media_type=media_type)
