"""Requests for answers, in every form: ``POST /v1/chat/completions`` and its siblings."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from router.auth import Caller, authenticate
from router.delivery import Delivery
from router.deps import Deps
from router.errors import ApiError, StoreError
from router.http.client import Client, read_body
from router.http.draining import send_until_cut, tell_unanswered
from router.http.failing import write_failure
from router.pipeline import run
from router.record.pieces import LONG_CHARS
from router.wire.form import Form
from router.wire.messages.incoming import parse_messages
from router.wire.openai import ChatRequest, parse_chat
from router.wire.passed_through import parse_passed_through
from router.wire.responses.incoming import parse_responses

Parse = Callable[[bytes, Mapping[str, str]], ChatRequest]
"""Reads a body and the headers beside it; raises ``BadRequest``."""

PARSERS: Mapping[str, Parse] = {
    f"/v1/{form}": parse
    for form, parse in (
        (Form.CHAT, lambda raw, _: parse_chat(raw)),
        (Form.COMPLETIONS, lambda raw, _: parse_passed_through(raw, Form.COMPLETIONS)),
        (Form.EMBEDDINGS, lambda raw, _: parse_passed_through(raw, Form.EMBEDDINGS)),
        (Form.COMPACTION, lambda raw, _: parse_passed_through(raw, Form.COMPACTION)),
        (Form.RESPONSES, lambda raw, _: parse_responses(raw)),
        (Form.MESSAGES, parse_messages),
    )
}
"""Every form's own address."""


async def answer(deps: Deps, parse: Parse, scope: Scope, receive: Receive, send: Send) -> None:
    """Read, check, answer; an error before the answer has begun becomes the answer.

    What is no fault of the request's is raised all the same, for the server's log.
    """
    client = Client(receive, send)
    try:
        headers = Headers(scope=scope)
        caller = authenticate(deps.settings, headers, scope["path"])
        if deps.tracer is not None:
            deps.tracer.begin(headers, scope["path"])
        raw = await read_body(receive, deps.settings.server.max_body_bytes)
        request = parse(raw, headers)
        if len(raw) > LONG_CHARS and deps.redactor.is_on:
            await deps.redactor.prepare(request.body)
        await _answer(deps, request, caller, client)
    except asyncio.CancelledError:
        await tell_unanswered(client, scope, receive, send)
        raise
    except Exception as error:
        if client.started:
            raise
        failure = write_failure(scope["path"], error)
        await failure(scope, receive, send)
        if not isinstance(error, ApiError | StoreError):
            raise


async def _answer(deps: Deps, request: ChatRequest, caller: Caller, client: Client) -> None:
    """Answer while the client is there, and close the delivery whatever happens."""
    delivery: Delivery | None = None

    async def work() -> None:
        nonlocal delivery
        delivery = await run(deps, request, caller)
        await _send(delivery, client)

    try:
        await client.attend(work())
    finally:
        if delivery is not None:
            await delivery.aclose()


async def _send(delivery: Delivery, client: Client) -> None:
    if delivery.events is not None:
        client.begin(200, {**delivery.headers, "content-type": "text/event-stream"})
        await send_until_cut(delivery.events, delivery.fail, client)
        return
    body = delivery.body or b""
    about = {"content-type": "application/json", "content-length": str(len(body))}
    client.begin(200, {**delivery.headers, **about})
    await client.finish(body)
