"""The demo's traffic: recorded queries through OpenAI's official client, as an application would.

Everything is kept as the client saw it: what was delivered, and what the headers said about it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, cast

from openai import AsyncOpenAI, AsyncStream, DefaultAsyncHttpxClient
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from distill.streams import StreamRow
from policies.types import Answer
from router.wire.openai import StreamAssembler, answer_from_message

STREAMED_EVERY = 10
"""One request in so many asks for a stream."""

_TIMEOUT_S = 120.0
_SLOWER = 10.0
_PASSED_AS = frozenset({"model", "messages", "stream", "stream_options"})


@dataclass(frozen=True, kw_only=True)
class Received:
    """One request as its client saw it.

    ``i``: its place in the traffic; ``id``: the interaction's, None where no answer named one;
    ``cost_usd``: None where unknown or not told; ``error``: one sentence where it failed.
    ``ended_at``: seconds since the epoch.
    """

    i: int
    streamed: bool
    ended_at: float
    latency_ms: float
    id: str | None = None
    tier: str | None = None
    release: str | None = None
    cost_usd: Decimal | None = None
    answer: Answer | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pace:
    """``rate``: requests begun per second, at most; ``concurrency``: open at a time, at most."""

    rate: float
    concurrency: int

    def interval_s(self, *, slow: bool) -> float:
        """Seconds from one request's beginning to the next one's."""
        return (_SLOWER if slow else 1.0) / self.rate


async def send_all(
    base_url: str,
    rows: Sequence[StreamRow],
    *,
    named: Collection[str],
    pace: Pace,
    is_slow: Callable[[], bool],
    tell: Callable[[Received], None],
) -> list[Received]:
    """Ask every row's query in order; what came back, in that order.

    A gateway that is slower than ``pace`` sets the pace: what was missed is not made up for.
    ``is_slow`` is asked before every request. ``named``: workloads that a request may name.
    ``tell`` is told of each answer; what it raises ends the traffic.
    """
    try:
        return await _send_paced(base_url, rows, named, pace, is_slow, tell)
    except ExceptionGroup as group:
        raise group.exceptions[0] from None


async def _send_paced(
    base_url: str,
    rows: Sequence[StreamRow],
    named: Collection[str],
    pace: Pace,
    is_slow: Callable[[], bool],
    tell: Callable[[Received], None],
) -> list[Received]:
    received: list[Received] = []
    open_slots = asyncio.Semaphore(pace.concurrency)
    # A proxy that the environment names is for the world outside, not for this machine.
    http = DefaultAsyncHttpxClient(trust_env=False)
    async with (
        AsyncOpenAI(
            base_url=f"{base_url}/v1",
            api_key="demo",
            max_retries=0,
            timeout=_TIMEOUT_S,
            http_client=http,
        ) as client,
        asyncio.TaskGroup() as tasks,
    ):

        async def send(i: int, row: StreamRow) -> None:
            try:
                one = await ask(client, i, row, named)
            finally:
                open_slots.release()
            received.append(one)
            tell(one)

        due_s = time.perf_counter()
        for i, row in enumerate(rows):
            await open_slots.acquire()
            await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
            due_s = time.perf_counter() + pace.interval_s(slow=is_slow())
            tasks.create_task(send(i, row))
    return sorted(received, key=lambda one: one.i)


async def ask(client: AsyncOpenAI, i: int, row: StreamRow, named: Collection[str]) -> Received:
    """One query; a failure is part of what came back."""
    streamed = i % STREAMED_EVERY == STREAMED_EVERY - 1
    came = _Coming()
    began_s = time.perf_counter()
    try:
        await _exchange(client, row, named, streamed=streamed, came=came)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client got no answer
        came.error = f"{type(error).__name__}: {error}"
        response = getattr(error, "response", None)
        if response is not None:
            came.headers = response.headers
    return Received(
        i=i,
        streamed=streamed,
        ended_at=time.time(),
        latency_ms=1000 * (time.perf_counter() - began_s),
        id=came.headers.get("x-tutelage-id"),
        tier=came.headers.get("x-tutelage-tier"),
        release=came.headers.get("x-tutelage-release"),
        cost_usd=_read_cost(came.cost_usd or came.headers.get("x-tutelage-cost-usd")),
        answer=None if came.error else came.answer,
        error=came.error,
    )


@dataclass(kw_only=True)
class _Coming:
    """What has come so far."""

    headers: Mapping[str, str] = field(default_factory=dict)
    answer: Answer | None = None
    cost_usd: str | None = None
    error: str | None = None


async def _exchange(
    client: AsyncOpenAI, row: StreamRow, named: Collection[str], *, streamed: bool, came: _Coming
) -> None:
    extra: dict[str, Any] = {k: v for k, v in row.body.items() if k not in _PASSED_AS}
    if row.workload in named:
        extra["tutelage"] = {"workload": row.workload}
    asked: dict[str, Any] = {
        "model": "auto",
        "messages": row.body["messages"],
        "extra_body": extra,
    }
    if streamed:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    raw = await client.chat.completions.with_raw_response.create(**asked)
    came.headers = raw.headers
    if not streamed:
        choice = cast(ChatCompletion, raw.parse()).choices[0]
        came.answer = answer_from_message(choice.message.model_dump(), choice.finish_reason)
        return
    whole = StreamAssembler()
    async for chunk in cast("AsyncStream[ChatCompletionChunk]", raw.parse()):
        whole.feed(chunk.model_dump())
        told = (chunk.model_extra or {}).get("tutelage")
        if told:
            came.cost_usd = told["cost_usd"]
    if whole.finish_reason is None:
        came.error = "The stream ended before its answer did."
    came.answer = whole.answer


def _read_cost(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
