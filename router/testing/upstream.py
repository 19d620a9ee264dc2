"""``FakeUpstream``: a real HTTP server that speaks every form (chat and text completions,
embeddings, responses, Anthropic's messages), and misbehaves as told."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from policies.types import Answer
from router.testing.behaviours import (
    Cut,
    ErrorAnswer,
    Fault,
    GarbageAnswer,
    Hang,
    HtmlAnswer,
    MissingDone,
    Reset,
    Stall,
)
from router.testing.pieces import split_choice, write_error
from router.wire.fakes import CHUNKED, stream_fake, write_fake
from router.wire.form import Form
from router.wire.openai import chunks_from_answer, completion_from_answer
from router.wire.sse import DONE, encode

DEFAULT_USAGE = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}

Body = dict[str, Any]
AnswerSource = str | Answer | Callable[[Body], str | Answer]
"""What to answer: a text, an answer, or a function of the request's body."""


@dataclass(frozen=True, kw_only=True)
class SeenRequest:
    """A request that reached the server; ``headers``: lower-case names."""

    path: str
    headers: Mapping[str, str]
    raw: bytes
    body: Body


@dataclass(kw_only=True)
class Bill:
    """What the server would charge for one request: the prompt once it begins to answer, and what
    it has generated. ``told``: the client has been sent the usage."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    told: bool = False


class FakeUpstream:
    """A stand-in for an OpenAI-compatible server, to be used with ``async with``.

    ``requests``: all requests seen; ``ledger``: the bill of each; ``sent``: the bodies of the whole
    answers it gave;
    ``faults``: one for each request to come (``None``: behave), to which more may be appended;
    ``connections``: how many were opened for the requests seen; ``disconnects``: how many clients
    left before their answer was complete.
    """

    def __init__(
        self,
        answer: AnswerSource = "ok",
        *,
        usage: Mapping[str, Any] | None = DEFAULT_USAGE,
        latency_s: float | Callable[[Body], float] = 0.0,
        chunk_delay_s: float = 0.0,
        running_usage: bool = False,
        faults: Iterable[Fault | None] = (),
        always: Fault | None = None,
        api_key: str | None = None,
        extra: Mapping[str, Any] | None = None,
        logprobs: Callable[[Body], float] | None = None,
    ) -> None:
        """``usage``: reported with every answer, ``None`` for none; ``running_usage``: every chunk
        of a stream carries the usage so far; ``always``: the fault of every request beyond
        ``faults``; ``api_key``: refuse other keys, and quote them, as careless servers do;
        ``extra``: further fields of every completion and chunk; ``logprobs``: that of every word of
        a whole answer to a body that asks for them."""
        self.requests: list[SeenRequest] = []
        self.ledger: list[Bill] = []
        self.sent: list[bytes] = []
        self.faults: deque[Fault | None] = deque(faults)
        self.connections = 0
        self.disconnects = 0
        self._transports: weakref.WeakSet[asyncio.BaseTransport] = weakref.WeakSet()
        self._answer = answer
        self._usage = usage
        self._latency_s = latency_s
        self._chunk_delay_s = chunk_delay_s
        self._running_usage = running_usage
        self._always = always
        self._api_key = api_key
        self._extra = dict(extra or {})
        self._logprobs = logprobs
        self._closing = asyncio.Event()
        self._requested = asyncio.Event()
        self._disconnected = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._port = 0

    @property
    def base_url(self) -> str:
        """The address to configure as a model's upstream."""
        return f"http://127.0.0.1:{self._port}/v1"

    async def wait_for_request(self, *, timeout_s: float = 2.0) -> None:
        """Return once a request was seen; raises ``TimeoutError`` if none comes."""
        async with asyncio.timeout(timeout_s):
            await self._requested.wait()

    async def wait_for_disconnect(self, *, timeout_s: float = 2.0) -> None:
        """Return once a client has left before its answer; raises ``TimeoutError`` if none does."""
        async with asyncio.timeout(timeout_s):
            await self._disconnected.wait()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        self.add_routes(app)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.5
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def add_routes(self, app: web.Application) -> None:
        """What the server answers; a subclass may add to it."""
        for form in Form:
            app.router.add_post(f"/v1/{form}", self._serve)
        app.router.add_post("/v1/messages/count_tokens", self._serve_count)
        app.router.add_get("/v1/models", self._serve_models)

    async def _serve_count(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        seen = SeenRequest(path=request.path, headers=headers, raw=raw, body=json.loads(raw))
        self.requests.append(seen)
        return web.json_response({"input_tokens": len(raw)})

    async def _serve_models(self, request: web.Request) -> web.StreamResponse:
        model = {"id": "fake", "object": "model", "created": 0, "owned_by": "tests"}
        return web.json_response({"object": "list", "data": [model]})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None and request.transport not in self._transports:
            self._transports.add(request.transport)
            self.connections += 1
        raw = await request.read()
        headers = {key.lower(): value for key, value in request.headers.items()}
        try:
            body = json.loads(raw)
        except ValueError:
            return write_error(400, "The body is not JSON.")
        self.requests.append(SeenRequest(path=request.path, headers=headers, raw=raw, body=body))
        bill = Bill()
        self.ledger.append(bill)
        self._requested.set()
        given = headers.get("authorization", "").removeprefix("Bearer ")
        given = given or headers.get("x-api-key", "")
        if self._api_key is not None and given != self._api_key:
            return write_error(401, f"Incorrect API key provided: {given}.")
        fault = self.next_fault()
        try:
            latency_s = self._latency_s(body) if callable(self._latency_s) else self._latency_s
            await asyncio.sleep(latency_s)
            return await self._respond(request, body, fault, bill)
        except asyncio.CancelledError:
            if not self._closing.is_set() and not isinstance(fault, (Reset, Cut)):
                self.disconnects += 1
                self._disconnected.set()
            raise

    async def _respond(
        self, request: web.Request, body: Body, fault: Fault | None, bill: Bill
    ) -> web.StreamResponse:
        if not isinstance(fault, (ErrorAnswer, HtmlAnswer)) and fault != Reset():
            bill.prompt_tokens = self._count("prompt_tokens")
        match fault:
            case ErrorAnswer(status=status, headers=headers, body=None):
                return write_error(status, f"Scripted error {status}.", headers)
            case ErrorAnswer():
                return web.Response(
                    status=fault.status,
                    headers=fault.headers,
                    body=fault.body,
                    content_type=fault.content_type,
                )
            case HtmlAnswer(status=status):
                page = "<html><body><h1>Welcome to the proxy</h1></body></html>"
                return web.Response(status=status, text=page, content_type="text/html")
            case Hang(after_headers=False):
                await self._closing.wait()
            case Reset(after_headers=False):
                await self._drop(request, reset=True)
        if body.get("stream"):
            return await self._send_stream(request, body, fault, bill)
        return await self._send_whole(request, body, fault, bill)

    async def _send_whole(
        self, request: web.Request, body: Body, fault: Fault | None, bill: Bill
    ) -> web.StreamResponse:
        if not isinstance(fault, Hang):
            bill.completion_tokens = self._count("completion_tokens")
        if isinstance(fault, GarbageAnswer):
            return web.Response(text=fault.text, content_type="application/json")
        completion = completion_from_answer(
            self._choose_answer(body),
            id=f"chatcmpl-fake-{len(self.requests)}",
            model=str(body.get("model")),
            created=1_700_000_000,
            usage=self._usage,
        )
        choice = completion["choices"][0]
        if self._logprobs is not None and body.get("logprobs"):
            words = (choice["message"]["content"] or "").split()
            score = {"logprob": self._logprobs(body), "top_logprobs": []}
            choice["logprobs"] = {"content": [{"token": word, **score} for word in words]}
        completion["choices"] = [{**choice, "index": i} for i in range(body.get("n") or 1)]
        # Spaces and letters as our own encoder would not write them: passing through must show.
        answer = {**write_fake(_form_of(request), completion, body), **self._extra}
        sent = json.dumps(answer, indent=1, ensure_ascii=False).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(sent)
        await response.prepare(request)
        match fault:
            case Hang():
                await self._closing.wait()
            case Reset() | Cut() | Stall():
                await response.write(sent[: len(sent) // 2])
                await self._misbehave(request, fault)
        self.sent.append(sent)
        bill.told = self._usage is not None
        await response.write(sent)
        await response.write_eof()
        return response

    async def _send_stream(
        self, request: web.Request, body: Body, fault: Fault | None, bill: Bill
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        if isinstance(fault, Hang):
            await self._closing.wait()
        form = _form_of(request)
        frames = self._write_frames(form, body, bill, whole=not isinstance(fault, MissingDone))
        for i in count():
            if isinstance(fault, (GarbageAnswer, Reset, Cut, Stall)) and i == fault.after_chunks:
                if isinstance(fault, GarbageAnswer):
                    await response.write(encode(fault.text))
                elif isinstance(fault, Cut) and fault.clean:
                    break
                else:
                    await self._misbehave(request, fault)
            frame = next(frames, None)
            if frame is None:
                break
            await response.write(frame)
            if self._chunk_delay_s:
                await asyncio.sleep(self._chunk_delay_s)
        await response.write_eof()
        return response

    def _write_frames(self, form: Form, body: Body, bill: Bill, *, whole: bool) -> Iterator[bytes]:
        """What is sent, one event after the other; a chat's chunk is billed when it is asked for,
        an answer in another form with its first event. ``whole``: with what ends the stream."""
        chunks = self._choose_chunks(form, body)
        if form is Form.CHAT:
            for chunk in chunks:
                yield encode({**self._charge(bill, chunk), **self._extra})
            yield from (DONE,) if whole else ()
            return
        charged = [{**self._charge(bill, chunk), **self._extra} for chunk in chunks]
        frames = stream_fake(form, charged, body)
        yield from frames if whole else frames[:-1]

    def next_fault(self) -> Fault | None:
        """What is done about the request that has just come."""
        return self.faults.popleft() if self.faults else self._always

    def _count(self, name: str) -> int:
        """Tokens of one whole answer; it is billed also where its usage is told to nobody."""
        return int((self._usage or DEFAULT_USAGE)[name])

    def _charge(self, bill: Bill, chunk: dict[str, Any]) -> dict[str, Any]:
        """Bill a chunk that is about to be sent: a token for each piece of content, and whatever
        is left with the last one. Returns the chunk, with the usage so far where that is told."""
        whole = self._count("completion_tokens")
        choices = chunk["choices"]
        if choices and choices[0]["finish_reason"] is None:
            generated = bool(choices[0]["delta"].get("content"))
            bill.completion_tokens = min(whole, bill.completion_tokens + generated)
        else:
            bill.completion_tokens = whole
        bill.told = chunk.get("usage") is not None
        if not self._running_usage or self._usage is None:
            return chunk
        bill.told = True
        total = bill.prompt_tokens + bill.completion_tokens
        return {
            **chunk,
            "usage": {
                "prompt_tokens": bill.prompt_tokens,
                "completion_tokens": bill.completion_tokens,
                "total_tokens": total,
            },
        }

    def _choose_answer(self, body: Body) -> Answer:
        answer = self._answer(body) if callable(self._answer) else self._answer
        if isinstance(answer, Answer):
            return answer
        return Answer(content=answer, finish_reason="stop")

    def _choose_chunks(self, form: Form, body: Body) -> list[dict[str, Any]]:
        wanted = body.get("stream_options") or {}
        chunks = chunks_from_answer(
            self._choose_answer(body),
            id=f"chatcmpl-fake-{len(self.requests)}",
            model=str(body.get("model")),
            created=1_700_000_000,
            usage=self._usage,
            include_usage=self._usage is not None
            and (form not in CHUNKED or bool(wanted.get("include_usage"))),
        )
        spread: list[dict[str, Any]] = []
        for chunk in chunks:
            if not chunk["choices"]:
                spread.append(chunk)
                continue
            for choice in split_choice(chunk["choices"][0]):
                spread += [
                    {**chunk, "choices": [{**choice, "index": i}]}
                    for i in range(body.get("n") or 1)
                ]
        return spread

    async def _misbehave(self, request: web.Request, fault: Fault) -> None:
        await asyncio.sleep(0.01)  # lets what was written reach the client before the break
        if isinstance(fault, (Reset, Cut)):
            await self._drop(request, reset=isinstance(fault, Reset))
        await self._closing.wait()

    async def _drop(self, request: web.Request, *, reset: bool) -> None:
        transport = request.transport
        if transport is not None and reset:
            connection: socket.socket = transport.get_extra_info("socket")
            linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()
        elif transport is not None:
            transport.close()
        await self._closing.wait()  # the lost connection cancels this handler


def _form_of(request: web.Request) -> Form:
    return Form(request.path.removeprefix("/v1/"))
