"""Asking an upstream for an answer, whole or streamed, in a form that it speaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from router.upstream.connection import Exchange, read_body
from router.upstream.failures import (
    Failure,
    from_exception,
    from_nonsense,
    from_rejection,
    read_answer,
)
from router.upstream.forward import Forwarded, Inquiry, forward
from router.upstream.model import AttemptClock, AttemptLog, Reply, UpstreamTarget
from router.upstream.pool import BadAddress, Pool
from router.upstream.retry import RetryBudget, choose_delay_s
from router.upstream.stream import StreamReply
from router.wire.calls import Call, write_call, write_key
from router.wire.form import Form, Native
from router.wire.written_json import write_json

MAX_ANSWER_BYTES = 64 << 20
_FAULTS = (OSError, BadAddress)
_HEADERS = {
    "User-Agent": "tutelage",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_Outcome = TypeVar("_Outcome")


@dataclass(frozen=True, kw_only=True)
class _Try:
    """What one try needs to know; ``deadline_s`` is on the event loop's clock."""

    target: UpstreamTarget
    form: Form
    payload: bytes
    headers: Mapping[str, str]
    clock: AttemptClock
    earlier: tuple[AttemptLog, ...]
    deadline_s: float


class UpstreamClient:
    """One pool of connections for all upstreams: ``async with UpstreamClient() as client``.

    Every call is told its target, so a new configuration needs no new client. Redirects are not
    followed (they would carry the key elsewhere), cookies are not kept, proxy variables of the
    environment are not read. Cancelling a call closes its connection.
    """

    def __init__(
        self,
        *,
        rng: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """``rng`` and ``sleep`` (seconds) serve the waits between tries."""
        self._rng = rng or random.Random()
        self._sleep = sleep
        self._budget = RetryBudget()
        self._pool: Pool | None = None

    async def start(self) -> None:
        """Open the pool; to be called in the event loop that will use it."""
        self._pool = Pool()

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @property
    def _open_pool(self) -> Pool:
        if self._pool is None:
            raise RuntimeError("UpstreamClient.start() was not called.")
        return self._pool

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def complete(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: list[AttemptLog] | None = None,
    ) -> Reply:
        """Ask for a whole answer; a body that asks for a stream is asked without.

        ``body``: the request as chat completions; ``native``: as it came, where in another form.
        ``tries`` is given every try as it ends: all that is known of a call that is cancelled.
        Raises ``BadRequest`` where the target's dialect can't say it, else ``CallFailed``,
        ``CallTimedOut`` or ``CallRejected``.
        """
        call = write_call(target.dialect, body, native, model=target.model, stream=False)
        return await self._call(target, call, self._complete_once, tries)

    async def open_stream(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: list[AttemptLog] | None = None,
    ) -> StreamReply:
        """Ask for a stream, always with usage, and wait for its first event.

        Use as ``async with await client.open_stream(...) as reply``. Raises what ``complete``
        raises; later breaks are ``StreamBroken`` from ``reply.events()``.
        """
        call = write_call(target.dialect, body, native, model=target.model, stream=True)
        n = body.get("n")
        choices = n if isinstance(n, int) else 1

        async def open_once(this: _Try) -> StreamReply | Failure:
            return await self._open_once(this, choices)

        return await self._call(target, call, open_once, tries)

    async def forward(self, target: UpstreamTarget, inquiry: Inquiry) -> Forwarded:
        """Ask for something that is no answer and costs nothing. Raises ``CallError``."""
        return await forward(self._open_pool, target, inquiry)

    async def _call(
        self,
        target: UpstreamTarget,
        call: Call,
        once: Callable[[_Try], Awaitable[_Outcome | Failure]],
        tries: list[AttemptLog] | None,
    ) -> _Outcome:
        """Try until an answer comes, the tries are used up or the deadline is near."""
        payload = write_json(call.body)
        headers = {**call.headers, **write_key(target.dialect, target.api_key)}
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + target.total_timeout_s
        logs: tuple[AttemptLog, ...] = ()
        noted = [] if tries is None else tries
        self._budget.earn(target.key)
        while True:
            clock = AttemptClock(target.key)
            this = _Try(
                target=target,
                form=call.form,
                payload=payload,
                headers=clock.add_trace(headers),
                clock=clock,
                earlier=logs,
                deadline_s=deadline_s,
            )
            try:
                outcome = await once(this)
            except asyncio.CancelledError:
                noted.append(clock.log(error="left before its end", billing="unknown"))
                raise
            if not isinstance(outcome, Failure):
                return outcome
            logs = (*logs, clock.log(error=outcome.reason, billing=outcome.billing))
            noted.append(logs[-1])
            delay_s = self._choose_delay_s(outcome, len(logs), target, deadline_s - now_s())
            if delay_s is None:
                outcome.error.attempts = logs
                raise outcome.error
            await self._sleep(delay_s)

    def _choose_delay_s(
        self, failure: Failure, tries: int, target: UpstreamTarget, remaining_s: float
    ) -> float | None:
        if not failure.retryable:
            return None
        delay_s = choose_delay_s(
            tries=tries,
            retries=target.retries,
            headers=failure.headers,
            remaining_s=min(remaining_s, target.longest_wait_s),
            rng=self._rng,
            now=datetime.now(UTC),
        )
        return delay_s if delay_s is not None and self._budget.spend(target.key) else None

    async def _complete_once(self, this: _Try) -> Reply | Failure:
        answer: Exchange | None = None
        try:
            async with asyncio.timeout_at(this.deadline_s):
                answer = await self._post(this, accept="application/json")
                this.clock.note_first_byte()
                raw = await read_body(answer, MAX_ANSWER_BYTES)
        except _FAULTS as exc:
            return from_exception(exc, this.target, answered=answer is not None)
        finally:
            if answer is not None:
                answer.close()  # without effect on a connection whose answer was read to its end
        if not 200 <= answer.status < 300:
            return from_rejection(answer.status, answer.headers, raw, this.target)
        if raw is None:
            return from_nonsense(f"more than {MAX_ANSWER_BYTES} bytes", this.target)
        payload = read_answer(raw, this.form)
        if isinstance(payload, str):
            return from_nonsense(payload, this.target)
        return Reply(
            status=answer.status,
            raw=raw,
            payload=payload,
            form=this.form,
            attempts=(*this.earlier, this.clock.log()),
        )

    async def _open_once(self, this: _Try, n: int) -> StreamReply | Failure:
        answer: Exchange | None = None
        opened = False
        try:
            async with asyncio.timeout_at(this.deadline_s):
                answer = await self._post(this, accept="text/event-stream")
                if not 200 <= answer.status < 300:
                    raw = await read_body(answer, MAX_ANSWER_BYTES)
                    return from_rejection(answer.status, answer.headers, raw, this.target)
            if answer.content_type in ("text/html", "application/json"):
                reason = f"{answer.content_type} instead of a stream"
                return from_nonsense(reason, this.target)
            reply = StreamReply(
                answer=answer,
                target=this.target,
                clock=this.clock,
                earlier=this.earlier,
                deadline_s=this.deadline_s,
                n=n,
                form=this.form,
            )
            failure = await reply.read_first()
            opened = failure is None
            return reply if failure is None else failure
        except _FAULTS as exc:
            return from_exception(exc, this.target, answered=answer is not None)
        finally:
            if answer is not None and not opened:
                answer.close()

    async def _post(self, this: _Try, *, accept: str) -> Exchange:
        target = this.target
        answer = await self._open_pool.ask(
            "POST",
            f"{target.base_url.rstrip('/')}/{this.form.value}",
            {**_HEADERS, "Accept": accept, **this.headers},
            this.payload,
            connect_s=target.connect_timeout_s,
            silence_s=target.first_byte_timeout_s,
        )
        this.clock.note_status(answer.status)
        return answer
