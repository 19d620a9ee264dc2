"""The stand-in teacher: a real HTTP server that answers from a recorded stream.

``python -m distill.demo.teacher [--stream FILE] [--scale S]`` says on its first line of output
where it listens, and serves until it is stopped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from distill.demo.shop import read_shop
from distill.streams import StreamRow, read_stream
from router.meter.prices import Usage
from router.wire.openai import chunks_from_answer, completion_from_answer, count_prompt_chars
from router.wire.sse import DONE, encode

_CHARS_PER_TOKEN = 4
_CREATED = 1_700_000_000
_WORD = re.compile(r"\s*\S+\s*$|\s*\S+|\s+$")


class StandInTeacher:
    """Answers a query by its messages, as recorded. Of twins in the stream the first counts.

    ``scale``: an answer takes this many times its recorded latency; without one, no time.
    """

    def __init__(self, rows: Sequence[StreamRow], *, scale: float = 1.0) -> None:
        self._scale = scale
        self._rows = {_key_of(row.body): row for row in reversed(rows)}

    def app(self) -> web.Application:
        """The server, for whoever runs it."""
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            body = await request.json()
            row = self._rows.get(_key_of(body))
        except (ValueError, KeyError, TypeError):
            return _refuse(400, "The body is no chat-completions request.", "invalid_body")
        if row is None:
            return _refuse(404, "The stream holds no answer to this query.", "query_not_recorded")
        await asyncio.sleep((row.teacher.latency_ms or 0.0) * self._scale / 1000)
        usage = usage_of(row)
        identity: dict[str, Any] = {
            "id": f"chatcmpl-{row.id}",
            "model": row.teacher.model or str(body.get("model")),
            "created": _CREATED,
            "usage": {
                "prompt_tokens": usage.prompt_tokens,
                "completion_tokens": usage.completion_tokens,
                "total_tokens": usage.prompt_tokens + usage.completion_tokens,
                "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
            },
        }
        if not body.get("stream"):
            return web.json_response(completion_from_answer(row.teacher.answer, **identity))
        wanted = bool((body.get("stream_options") or {}).get("include_usage"))
        chunks = chunks_from_answer(row.teacher.answer, **identity, include_usage=wanted)
        return await _send(request, chunks)


async def _send(request: web.Request, chunks: Sequence[dict[str, Any]]) -> web.StreamResponse:
    """Chunk by chunk, and texts word by word, as models write them."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        for part in _split(chunk):
            await response.write(encode(part))
    await response.write(DONE)
    await response.write_eof()
    return response


def _split(chunk: dict[str, Any]) -> list[dict[str, Any]]:
    choice = chunk["choices"][0] if chunk["choices"] else {"delta": {}}
    words = _WORD.findall(choice["delta"].get("content") or "")
    if not words:
        return [chunk]
    return [{**chunk, "choices": [{**choice, "delta": {"content": word}}]} for word in words]


def usage_of(row: StreamRow) -> Usage:
    """The recorded tokens; where there are none, an estimate of four characters a token."""
    if row.teacher.usage is not None:
        return row.teacher.usage
    answer = row.teacher.answer
    said = [answer.content or "", answer.refusal or ""]
    said += [part for call in answer.tool_calls for part in (call.name, call.arguments)]
    return Usage(
        prompt_tokens=max(1, count_prompt_chars(row.body) // _CHARS_PER_TOKEN),
        completion_tokens=max(1, sum(map(len, said)) // _CHARS_PER_TOKEN),
    )


def _key_of(body: Mapping[str, Any]) -> str:
    return json.dumps([body["messages"], body.get("tools")], sort_keys=True)


def _refuse(status: int, message: str, code: str) -> web.Response:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return web.json_response({"error": error}, status=status)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C, on a free port of the loopback interface."""
    parser = argparse.ArgumentParser(prog="distill.demo.teacher")
    parser.add_argument("--stream", type=Path, help="the built-in one where it isn't given")
    parser.add_argument("--scale", type=float, default=1.0, help="of the recorded latencies")
    args = parser.parse_args(argv)
    rows = read_shop() if args.stream is None else read_stream(args.stream)
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"the teacher listens on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    app = StandInTeacher(rows, scale=args.scale).app()
    web.run_app(app, sock=listener, print=None, access_log=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    main()
