"""A stand-in upstream that keeps books of its own: what it would bill, by request.

The request's ``user`` names it and begins with its kind: ``whole``, ``stream``, ``cached``,
``silent`` (answers without usage), ``retry`` (refuses the first try), ``endless`` (a stream that
goes on until the client leaves), ``wrong`` (refused every time), ``cent`` (an answer of one cent at
2.5 and 10 USD per million tokens, after a moment). ``GET /books`` gives the tokens of every answer
that was finished: ``{user: [[prompt, cached, completion], …]}``.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

from aiohttp import web

from benchmarks.gateway.processes import run_loop
from router.wire.sse import DONE, encode

_HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "stand-in"}
_MOST_CHUNKS = 2_000
_CENT = [100, 0, 975]
_MOMENT_S = 0.05


class Books:
    """Answers, and remembers what each would cost."""

    def __init__(self) -> None:
        self._entries: dict[str, list[list[int]]] = defaultdict(list)
        self._refused: set[str] = set()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        user = str(body["user"])
        kind, _, number = user.partition("-")
        if kind == "retry" and user not in self._refused:
            self._refused.add(user)
            error = {"error": {"message": "Not now.", "type": "server_error"}}
            return web.json_response(error, status=503, headers={"retry-after-ms": "1"})
        if kind == "wrong":
            error = {"error": {"message": "Not at all.", "type": "invalid_request_error"}}
            return web.json_response(error, status=400)
        tokens = [100 + int(number) % 97, 64 if kind == "cached" else 0, 1 + int(number) % 13]
        if kind == "cent":
            await asyncio.sleep(_MOMENT_S)
            tokens = _CENT
        if body.get("stream"):
            return await self._stream(request, user, kind, tokens)
        self._entries[user].append(tokens)
        message = {"role": "assistant", "content": "word " * tokens[2]}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer: dict[str, Any] = {**_HEAD, "object": "chat.completion", "choices": [choice]}
        if kind != "silent":
            answer["usage"] = _write_usage(tokens)
        return web.json_response(answer)

    async def _stream(
        self, request: web.Request, user: str, kind: str, tokens: list[int]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(_MOST_CHUNKS if kind == "endless" else tokens[2]):
            await response.write(_write_chunk({"content": "word "}))
            if kind == "endless":
                await asyncio.sleep(0.01)
        self._entries[user].append(tokens)
        await response.write(_write_chunk({}, "stop"))
        if kind != "silent":
            last = {"object": "chat.completion.chunk", "choices": [], "usage": _write_usage(tokens)}
            await response.write(encode({**_HEAD, **last}))
        await response.write(DONE)
        await response.write_eof()
        return response

    async def show(self, request: web.Request) -> web.Response:
        return web.Response(text=json.dumps(self._entries), content_type="application/json")


def _write_usage(tokens: list[int]) -> dict[str, Any]:
    prompt, cached, completion = tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def _write_chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return encode({**_HEAD, "object": "chat.completion.chunk", "choices": [choice]})


async def _serve() -> None:
    books, app = Books(), web.Application()
    app.router.add_post("/v1/chat/completions", books.answer)
    app.router.add_get("/books", books.show)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    print(f"the stand-in listens on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    run_loop(_serve())
