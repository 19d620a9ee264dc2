"""A stand-in upstream that answers at once: what remains is the cost of the way to it.

It says the same to everybody: a short answer, whole or as a stream of ``CHUNKS`` parts.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from benchmarks.gateway.processes import run_loop
from router.wire.sse import DONE, encode

CHUNKS = 20
_USAGE = {"prompt_tokens": 120, "completion_tokens": CHUNKS, "total_tokens": 120 + CHUNKS}


def _write_body(kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "stand-in"}
    return {**head, "choices": choices, **more}


def _write_whole() -> bytes:
    message = {"role": "assistant", "content": "word " * CHUNKS, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps(_write_body("chat.completion", [choice], usage=_USAGE)).encode()


def _write_events() -> list[bytes]:
    def write(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return encode(_write_body("chat.completion.chunk", [choice]))

    events = [write({"role": "assistant", "content": ""})]
    events += [write({"content": "word "}) for _ in range(CHUNKS)]
    events.append(write({}, "stop"))
    events.append(encode(_write_body("chat.completion.chunk", [], usage=_USAGE)))
    return [*events, DONE]


_WHOLE = _write_whole()
_EVENTS = _write_events()


async def _answer(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    if not body.get("stream"):
        return web.Response(body=_WHOLE, content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for event in _EVENTS:
        await response.write(event)
    await response.write_eof()
    return response


async def _serve() -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", _answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"the stand-in listens on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run_loop(_serve())
