"""Asking a model, and those that may stand in for it, within one deadline."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from router.errors import BadRequest
from router.upstream.breakers import Breakers
from router.upstream.forward import Forwarded, Inquiry
from router.upstream.hedging import ask_hedged
from router.upstream.model import AttemptLog, CallError, CallFailed, Reply, UpstreamTarget
from router.upstream.retry import RetryBudget
from router.upstream.stream import StreamReply
from router.wire.form import Native

_log = logging.getLogger("tutelage.upstream")

_PATIENCE_S = 1.0
"""The longest wait for another try of a model while there is a fallback that could answer now."""

_Tries = list[AttemptLog]
_Answer = TypeVar("_Answer")


class Client(Protocol):
    """What asks one model: ``UpstreamClient``."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def complete(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: _Tries | None = None,
    ) -> Reply: ...
    async def open_stream(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: _Tries | None = None,
    ) -> StreamReply: ...
    async def forward(self, target: UpstreamTarget, inquiry: Inquiry) -> Forwarded: ...


class Failover:
    """A client that turns to a target's fallbacks where the target fails.

    The target's total time is that of them all. A request that the target itself refuses (too
    long, filtered, of a shape that it doesn't know) is refused: another model isn't asked for what
    this one has judged. What a fallback refuses is not the client's fault: the next one is asked,
    and where none answers the client gets the error of the model that it asked for. A model whose
    breaker is open is passed over. A stream falls over only before its first chunk.

    Where a target with ``hedge_after_s`` has said nothing for so long, its fallbacks are asked
    beside it; who begins to answer first is heard, the other one cancelled. Like retries, these are
    a fifth of the calls at most.

    Answers and errors carry the tries of all the models that were asked, in order.
    """

    def __init__(self, client: Client, breakers: Breakers) -> None:
        self._client = client
        self._breakers = breakers
        self._hedges = RetryBudget()

    async def start(self) -> None:
        """Open the client's pool; to be called in the event loop that will use it."""
        await self._client.start()

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def complete(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: _Tries | None = None,
    ) -> Reply:
        """As ``UpstreamClient.complete``, of the first model that answers."""

        async def ask(one: UpstreamTarget, noted: _Tries) -> Reply:
            earlier = tuple(noted)
            reply = await self._client.complete(one, body, native, noted)
            self._breakers.note(one.key, up=True)
            return replace(reply, attempts=(*earlier, *reply.attempts)) if earlier else reply

        noted = [] if tries is None else tries
        if target.hedge_after_s is None or not target.fallbacks:
            return await self._ask_in_turn(target, ask, noted)
        reply, lost = await self._ask_hedged(target, ask, noted, _drop_reply)
        return replace(reply, attempts=(*lost, *reply.attempts))

    async def open_stream(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: _Tries | None = None,
    ) -> StreamReply:
        """As ``UpstreamClient.open_stream``, of the first model whose stream begins."""

        async def ask(one: UpstreamTarget, noted: _Tries) -> StreamReply:
            earlier = tuple(noted)
            reply = await self._client.open_stream(one, body, native, noted)
            self._breakers.note_alive(one.key)
            reply.on_end = lambda whole: self._breakers.note(one.key, up=whole)
            reply.follow(earlier)
            return reply

        noted = [] if tries is None else tries
        if target.hedge_after_s is None or not target.fallbacks:
            return await self._ask_in_turn(target, ask, noted)
        stream, lost = await self._ask_hedged(target, ask, noted, _drop_stream)
        stream.follow(lost)
        return stream

    async def forward(self, target: UpstreamTarget, inquiry: Inquiry) -> Forwarded:
        """As ``UpstreamClient.forward``: it asks about a model's own state, so nobody stands in."""
        return await self._client.forward(target, inquiry)

    async def _ask_hedged(
        self,
        target: UpstreamTarget,
        ask: Callable[[UpstreamTarget, _Tries], Awaitable[_Answer]],
        tries: _Tries,
        drop: Callable[[_Answer], Awaitable[tuple[AttemptLog, ...]]],
    ) -> tuple[_Answer, tuple[AttemptLog, ...]]:
        """The target's answer, or a fallback's where the target is slow, with the other's tries."""
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + target.total_timeout_s
        fallback, *others = target.fallbacks

        def ask_fallback(noted: _Tries) -> Awaitable[_Answer]:
            left_s = max(deadline_s - now_s(), 0.0)
            second = replace(fallback, fallbacks=tuple(others), total_timeout_s=left_s)
            return self._ask_in_turn(second, ask, noted)

        self._hedges.earn(target.key)
        return await ask_hedged(
            lambda noted: self._ask_in_turn(replace(target, fallbacks=()), ask, noted),
            ask_fallback,
            after_s=target.hedge_after_s or 0.0,
            may_hedge=lambda: self._hedges.spend(target.key),
            drop=drop,
            tries=tries,
        )

    async def _ask_in_turn(
        self,
        target: UpstreamTarget,
        ask: Callable[[UpstreamTarget, _Tries], Awaitable[_Answer]],
        tries: _Tries,
    ) -> _Answer:
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + target.total_timeout_s
        first: CallError | None = None
        for one in (target, *target.fallbacks):
            remaining_s = deadline_s - now_s()
            rest_s = self._breakers.rest_s(one.key)
            if rest_s or remaining_s <= 0:
                first = first or _refuse(one, rest_s)
                continue
            try:
                return await ask(_bound(one, target, remaining_s), tries)
            except BadRequest:
                # The dialect of a fallback can't say the request: the next one is asked.
                if first is None:
                    raise
            except CallError as error:
                self._breakers.note(one.key, up=not error.down)
                first = first or error
                if one is target and not error.falls_over:
                    break
                if target.fallbacks:
                    _log.warning("Model %s gave no answer: %s", one.key, error)
        if first is None:
            raise RuntimeError("a call has at least one target")
        first.attempts = tuple(tries)
        raise first


async def _drop_reply(reply: Reply) -> tuple[AttemptLog, ...]:
    return reply.attempts


async def _drop_stream(stream: StreamReply) -> tuple[AttemptLog, ...]:
    await stream.aclose()
    return stream.attempts


def _bound(one: UpstreamTarget, target: UpstreamTarget, remaining_s: float) -> UpstreamTarget:
    """``one`` of ``target`` and its fallbacks, with the time and the patience that are left."""
    if not target.fallbacks:
        return one
    last = one is target.fallbacks[-1]
    return replace(
        one,
        total_timeout_s=min(one.total_timeout_s, remaining_s),
        longest_wait_s=one.longest_wait_s if last else _PATIENCE_S,
    )


def _refuse(target: UpstreamTarget, rest_s: float) -> CallFailed:
    """The answer of a gateway that leaves an upstream alone."""
    seconds = max(1, math.ceil(rest_s))
    return CallFailed(
        f"The upstream of model '{target.key}' has failed call after call and is left alone for"
        f" now: try again in {seconds} s.",
        status=503,
        code="upstream_resting",
        headers={"retry-after": str(seconds)},
    )
