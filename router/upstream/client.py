"""Asking an upstream for an answer, whole or streamed, in a form that it speaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from router.upstream.failures import (
    Failure,
    from_exception,
    from_nonsense,
    from_rejection,
    read_answer,
)
from router.upstream.forward import Forwarded, Inquiry, forward
from router.upstream.model import AttemptClock, AttemptLog, Reply, UpstreamTarget
from router.upstream.retry import RetryBudget, choose_delay_s
from router.upstream.stream import StreamReply
from router.wire.calls import Call, write_call, write_key
from router.wire.form import Form, Native
from router.wire.written_json import write_json

MAX_ANSWER_BYTES = 64 << 20
_HIDDEN_HEADERS = frozenset(
    {
        "connection",
        "content-encoding",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
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
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool; to be called in the event loop that will use it."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "tutelage", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("UpstreamClient.start() was not called.")
        return self._session

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
        return await forward(self._open_session, target, inquiry)

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
        response: aiohttp.ClientResponse | None = None
        try:
            async with asyncio.timeout_at(this.deadline_s):
                response = await self._post(this, accept="application/json")
                this.clock.note_first_byte()
                raw = await _read_body(response)
        except (aiohttp.ClientError, OSError) as exc:
            return from_exception(exc, this.target, answered=response is not None)
        finally:
            if response is not None:
                response.close()  # without effect on a connection whose answer was read to its end
        headers = _read_headers(response)
        if not response.ok or response.status >= 300:
            return from_rejection(response.status, headers, raw, this.target)
        if raw is None:
            return from_nonsense(f"more than {MAX_ANSWER_BYTES} bytes", this.target)
        answer = read_answer(raw, this.form)
        if isinstance(answer, str):
            return from_nonsense(answer, this.target)
        return Reply(
            status=response.status,
            raw=raw,
            payload=answer,
            form=this.form,
            headers=headers,
            attempts=(*this.earlier, this.clock.log()),
        )

    async def _open_once(self, this: _Try, n: int) -> StreamReply | Failure:
        response: aiohttp.ClientResponse | None = None
        opened = False
        try:
            async with asyncio.timeout_at(this.deadline_s):
                response = await self._post(this, accept="text/event-stream")
                headers = _read_headers(response)
                if not response.ok or response.status >= 300:
                    raw = await _read_body(response)
                    return from_rejection(response.status, headers, raw, this.target)
            if response.content_type in ("text/html", "application/json"):
                reason = f"{response.content_type} instead of a stream"
                return from_nonsense(reason, this.target)
            reply = StreamReply(
                response=response,
                headers=headers,
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
        except (aiohttp.ClientError, OSError) as exc:
            return from_exception(exc, this.target, answered=response is not None)
        finally:
            if response is not None and not opened:
                response.close()

    async def _post(self, this: _Try, *, accept: str) -> aiohttp.ClientResponse:
        target = this.target
        headers = {"Content-Type": "application/json", "Accept": accept, **this.headers}
        response = await self._open_session.post(
            f"{target.base_url.rstrip('/')}/{this.form.value}",
            data=this.payload,
            headers=headers,
            allow_redirects=False,
            timeout=_limit_waits(target.connect_timeout_s, target.first_byte_timeout_s),
        )
        this.clock.note_status(response.status)
        return response


@cache
def _limit_waits(connect_s: float, silence_s: float) -> aiohttp.ClientTimeout:
    """The whole call's time is kept by its own deadline."""
    return aiohttp.ClientTimeout(total=None, connect=connect_s, sock_read=silence_s)


async def _read_body(response: aiohttp.ClientResponse) -> bytes | None:
    """The body, ``None`` where it is longer than ``MAX_ANSWER_BYTES``."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _read_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    headers = {key.lower(): value for key, value in response.headers.items()}
    return {key: value for key, value in headers.items() if key not in _HIDDEN_HEADERS}
