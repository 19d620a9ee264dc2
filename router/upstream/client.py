"""Asking an OpenAI-compatible server for a chat completion, whole or streamed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from router.upstream.failures import (
    Failure,
    from_exception,
    from_nonsense,
    from_rejection,
    read_completion,
)
from router.upstream.model import AttemptClock, AttemptLog, Reply, UpstreamTarget
from router.upstream.retry import choose_delay_s
from router.upstream.stream import StreamReply

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
    payload: bytes
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

    async def complete(self, target: UpstreamTarget, body: Mapping[str, Any]) -> Reply:
        """Ask for a whole answer; a body that asks for a stream is asked without.

        Raises ``CallFailed``, ``CallTimedOut`` or ``CallRejected``.
        """
        asked = {**body, "model": target.model}
        if asked.get("stream"):
            asked["stream"] = False
        if not asked.get("stream"):
            asked.pop("stream_options", None)
        return await self._call(target, asked, self._complete_once)

    async def open_stream(self, target: UpstreamTarget, body: Mapping[str, Any]) -> StreamReply:
        """Ask for a stream, always with usage, and wait for its first chunk.

        Use as ``async with await client.open_stream(...) as reply``. Raises what ``complete``
        raises; later breaks are ``StreamBroken`` from ``reply.events()``.
        """
        options = body.get("stream_options")
        options = options if isinstance(options, Mapping) else {}
        asked = {
            **body,
            "model": target.model,
            "stream": True,
            "stream_options": {**options, "include_usage": True},
        }
        n = body.get("n")
        choices = n if isinstance(n, int) else 1

        async def open_once(this: _Try) -> StreamReply | Failure:
            return await self._open_once(this, choices)

        return await self._call(target, asked, open_once)

    async def _call(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        once: Callable[[_Try], Awaitable[_Outcome | Failure]],
    ) -> _Outcome:
        """Try until an answer comes, the tries are used up or the deadline is near."""
        payload = json.dumps(body, separators=(",", ":")).encode()
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + target.total_timeout_s
        logs: tuple[AttemptLog, ...] = ()
        while True:
            clock = AttemptClock()
            outcome = await once(
                _Try(
                    target=target,
                    payload=payload,
                    clock=clock,
                    earlier=logs,
                    deadline_s=deadline_s,
                )
            )
            if not isinstance(outcome, Failure):
                return outcome
            logs = (*logs, clock.log(error=outcome.reason, sent=outcome.sent))
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
        return choose_delay_s(
            tries=tries,
            retries=target.retries,
            headers=failure.headers,
            remaining_s=remaining_s,
            rng=self._rng,
            now=datetime.now(UTC),
        )

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
        payload = read_completion(raw)
        if isinstance(payload, str):
            return from_nonsense(payload, this.target)
        return Reply(
            status=response.status,
            raw=raw,
            payload=payload,
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
        if self._session is None:
            raise RuntimeError("UpstreamClient.start() was not called.")
        target = this.target
        headers = {"Content-Type": "application/json", "Accept": accept}
        if target.api_key:
            headers["Authorization"] = f"Bearer {target.api_key}"
        response = await self._session.post(
            f"{target.base_url.rstrip('/')}/chat/completions",
            data=this.payload,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=target.connect_timeout_s,
                sock_read=target.first_byte_timeout_s,
            ),
        )
        this.clock.note_status(response.status)
        return response


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
