"""A streamed answer while it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from router.upstream.connection import Exchange
from router.upstream.failures import (
    Failure,
    describe_error,
    from_empty_stream,
    from_exception,
    from_nonsense,
    hide_key,
)
from router.upstream.model import (
    AttemptClock,
    AttemptLog,
    Billing,
    StreamBroken,
    UpstreamTarget,
)
from router.wire.form import Form, Untranslatable, translating
from router.wire.hearing import new_reader
from router.wire.openai import StreamAssembler
from router.wire.sse import EventTooLarge, SseDecoder, SseEvent
from router.wire.written_json import read_json

Chunk = tuple[bytes, dict[str, Any]]
"""An event's bytes as they came, and the object in it."""

_LAST_BYTES_S = 0.05
"""How long to wait after ``[DONE]`` for the end of the body, so that the connection can be kept."""


class StreamReply:
    """An async context manager around a stream whose first chunk is at hand.

    Leaving it before the end closes the connection, which tells the upstream to stop generating.
    ``assembled``: the answer, usage and model as far as they have come; ``done_seen``: ``[DONE]``,
    or what ends a stream of its form, has come;
    ``understood``: the ``chat.completion.chunk`` objects that the latest event stands for;
    ``first_token_s``: when the first piece of an answer came, on the clock ``time.perf_counter``;
    ``on_end``: told once whether the stream was whole, and never where it is left before its end.
    """

    def __init__(
        self,
        *,
        answer: Exchange,
        target: UpstreamTarget,
        clock: AttemptClock,
        earlier: tuple[AttemptLog, ...],
        deadline_s: float,
        n: int,
        form: Form = Form.CHAT,
    ) -> None:
        """``deadline_s``: the end of the whole call on the event loop's clock."""
        self.status = answer.status
        self.assembled = StreamAssembler(n=n)
        self.done_seen = False
        self.form = form
        self.understood: list[dict[str, Any]] = []
        self.first_token_s: float | None = None
        self._reader = new_reader(form)
        self.on_end: Callable[[bool], None] | None = None
        self._answer = answer
        self._target = target
        self._clock = clock
        self._earlier = earlier
        self._deadline_s = deadline_s
        self._chunks = self._read_chunks()
        self._first: Chunk | None = None
        self._ended = False
        self._log: AttemptLog | None = None

    async def read_first(self) -> Failure | None:
        """Wait for the first chunk; a failure up to then means that nothing was delivered."""
        failure: Failure
        try:
            self._first = await anext(self._chunks)
        except StopAsyncIteration:
            if self.done_seen:
                failure = from_nonsense("an empty stream", self._target)
            else:
                failure = from_empty_stream(self._target)
        except StreamBroken as exc:
            failure = from_nonsense(exc.reason, self._target)
        except OSError as exc:
            failure = from_exception(exc, self._target, answered=False)
            failure = replace(failure, billing="unknown")  # it had begun to answer
        else:
            if _is_event_of(self.form, self._first[1]):
                self._clock.note_first_byte()
                return None
            failure = from_nonsense("a stream of something else", self._target)
        self._answer.close()
        return failure

    async def events(self) -> AsyncIterator[Chunk]:
        """The events in order, to be read once; ``[DONE]`` is not among them.

        Raises ``StreamBroken`` where the stream is cut, stalls, or holds something that is no
        chunk. A stream that lacks only ``[DONE]`` after its finish reason is whole.
        """
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        broken: str | None = None
        billing: Billing = "answer"
        try:
            async for chunk in self._chunks:
                yield chunk
        except StreamBroken as exc:
            broken, billing = f"it sent {exc.reason}", "unknown"  # it may go on, unread
        except OSError as exc:
            if not self.assembled.whole:
                broken = from_exception(exc, self._target, answered=True).reason
        else:
            self._ended = True
            if not (self.done_seen or self.assembled.whole):
                broken = "it ended without a finish reason"
        self._log = self._clock.log(error=broken, billing=billing)
        if self.on_end is not None:
            self.on_end(broken is None)
        if broken is not None:  # raised here, so that the other exception is not its context
            raise StreamBroken(broken)

    def follow(self, earlier: tuple[AttemptLog, ...]) -> None:
        """Count these tries, of other models, as made before this stream's."""
        self._earlier = (*earlier, *self._earlier)

    @property
    def ended(self) -> bool:
        """The event that ends a stream of this form has come; ``[DONE]`` is no event."""
        return self._reader.ended

    @property
    def attempts(self) -> tuple[AttemptLog, ...]:
        """Every try of the call; the last one, this stream, up to its end or to now."""
        return (*self._earlier, self._log or self._clock.log())

    async def aclose(self) -> None:
        """Give the connection back if the stream was read to its end, else close it."""
        if self._log is None:
            self._log = self._clock.log(error="left before its end")
        if self._ended:
            with suppress(OSError):
                async with asyncio.timeout(_LAST_BYTES_S):
                    while await self._answer.read():
                        pass
        self._answer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _read_chunks(self) -> AsyncIterator[Chunk]:
        """Chunks until ``[DONE]`` or the end; raises OSError and ``StreamBroken``.

        The reason of the latter completes "The upstream sent ...".
        """
        decoder = SseDecoder()
        while data := await self._read():
            try:
                events = decoder.feed(data)
            except EventTooLarge:
                raise StreamBroken("an event that is too long") from None
            for event in events:
                if event.data == "[DONE]":
                    self.done_seen = True
                    return
                yield self._take(event)
                if self._reader.ended:
                    self.done_seen = True
                    return
        for event in decoder.flush():
            if event.data == "[DONE]":
                self.done_seen = True
            elif not self.assembled.whole or _parse(event.data) is not None:
                yield self._take(event)
        for part in self._reader.close():
            self.assembled.feed(part)

    async def _read(self) -> bytes:
        async with asyncio.timeout_at(self._deadline_s):
            return await self._answer.read()

    def _take(self, event: SseEvent) -> Chunk:
        chunk = _parse(event.data)
        if chunk is None:
            raise StreamBroken("a chunk that is not a JSON object")
        try:
            with translating():
                self.understood = self._reader.feed(chunk)
        except Untranslatable:
            raise StreamBroken("an event of another form") from None
        error = describe_error(chunk)
        if error is not None:
            # What failed may have been billed all the same.
            used = [part["usage"] for part in self.understood if part.get("usage")]
            self.assembled.usage = used[-1] if used else self.assembled.usage
            raise StreamBroken(hide_key(error, self._target))
        for part in self.understood:
            self.assembled.feed(part)
        if self.first_token_s is None and self.assembled.begun:
            self.first_token_s = time.perf_counter()
        return event.raw, chunk


def _parse(data: str) -> dict[str, Any] | None:
    try:
        chunk = read_json(data)
    except (ValueError, RecursionError):
        return None
    return chunk if isinstance(chunk, dict) else None


def _is_event_of(form: Form, event: dict[str, Any]) -> bool:
    """Whether a stream that begins so is one of the form that was asked for."""
    if form in (Form.CHAT, Form.COMPLETIONS):
        return isinstance(event.get("choices"), list)
    return isinstance(event.get("type"), str)
