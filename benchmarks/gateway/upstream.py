"""A stand-in upstream that answers at once: what remains is the cost of the way to it.

It says the same to everybody: a short answer, whole or as a stream of ``CHUNKS`` parts. With
``--pace-ms`` a stream's parts come one by one, each says when it was due, and there are ``PACED``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

from aiohttp import web

from benchmarks.gateway.processes import run_loop
from router.wire.sse import DONE, encode

CHUNKS = 20
PACED = 64
_USAGE = {"prompt_tokens": 120, "completion_tokens": CHUNKS, "total_tokens": 120 + CHUNKS}


def _write_body(kind: str, choices: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    head = {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": "stand-in"}
    return {**head, "choices": choices, **more}


def _write_whole() -> bytes:
    message = {"role": "assistant", "content": "word " * CHUNKS, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json.dumps(_write_body("chat.completion", [choice], usage=_USAGE)).encode()


def _write_event(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return encode(_write_body("chat.completion.chunk", [choice]))


_WHOLE = _write_whole()
_FIRST = _write_event({"role": "assistant", "content": ""})
_END = [
    _write_event({}, "stop"),
    encode(_write_body("chat.completion.chunk", [], usage=_USAGE)),
    DONE,
]
_EVENTS = [_FIRST, *(_write_event({"content": "word "}) for _ in range(CHUNKS)), *_END]


class _StandIn:
    """``delay_s``: before every answer; ``pace_s``: between the parts of a stream."""

    def __init__(self, delay_s: float, pace_s: float) -> None:
        self._delay_s, self._pace_s = delay_s, pace_s

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if self._delay_s:
            await asyncio.sleep(self._delay_s)
        if not body.get("stream"):
            return web.Response(body=_WHOLE, content_type="application/json")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if self._pace_s:
            await self._pace(response)
        else:
            for event in _EVENTS:
                await response.write(event)
        await response.write_eof()
        return response

    async def _pace(self, response: web.StreamResponse) -> None:
        """Each part in its time, whatever the one before took."""
        await response.write(_FIRST)
        start_s = time.time()
        for number in range(PACED):
            due_s = start_s + number * self._pace_s
            await asyncio.sleep(max(0.0, due_s - time.time()))
            await response.write(_write_event({"content": f"{due_s:.6f} "}))
        for event in _END:
            await response.write(event)


async def _serve(stand_in: _StandIn) -> None:
    app = web.Application()
    app.router.add_post("/v1/chat/completions", stand_in.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"the stand-in listens on http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    """Serve until the process ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before every answer")
    parser.add_argument("--pace-ms", type=float, default=0.0, help="between a stream's parts")
    args = parser.parse_args()
    run_loop(_serve(_StandIn(args.delay_ms / 1000, args.pace_ms / 1000)))


if __name__ == "__main__":
    main()
