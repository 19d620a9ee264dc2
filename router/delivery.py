"""The answer on its way to the client: a draft, the teacher's whole answer, or its stream.

Whoever takes a ``Delivery`` closes it once, whatever became of it: that is when it is settled, and
when a stream that was never read, or read in part, lets go of its upstream.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from policies.types import Tier
from router.deps import Deps
from router.errors import ApiError
from router.meter.money import plain_usd
from router.meter.prices import Usage
from router.record.model import Status
from router.settle import Outcome, note, price_outcome, settle
from router.upstream.model import AttemptLog, CallError, Reply, StreamBroken
from router.upstream.stream import StreamReply
from router.wire.openai import (
    answer_from_message,
    chunks_from_answer,
    completion_from_answer,
    is_usage_chunk,
)
from router.wire.sse import DONE, encode

_ABANDONED = "left before its answer"
_HEAD = ("id", "object", "created", "model")


class EventStream(Protocol):
    """Encoded events, to be read once; ``aclose`` ends the interaction they belong to."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def aclose(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What goes to the client: a whole body, or a stream of encoded events.

    ``settle``: records a whole answer; it waits for the end, since the client needn't wait for it.
    """

    headers: Mapping[str, str]
    body: bytes | None = None
    events: EventStream | None = None
    settle: Callable[[], None] | None = None

    async def aclose(self) -> None:
        """Settle the interaction; a stream is ok where it was read to its end, else broken."""
        if self.events is not None:
            await self.events.aclose()
        if self.settle is not None:
            self.settle()


async def deliver_draft(deps: Deps, outcome: Outcome) -> Delivery:
    """The draft as a completion or a stream; its tokens cost nothing and count as none."""
    if outcome.draft is None or outcome.evidence is None:
        raise ApiError("The policy chose a draft that was never made.")
    outcome.answer = outcome.draft
    description = _describe(deps, outcome)
    headers = _write_headers(outcome, description)
    identity: dict[str, Any] = {
        "id": f"chatcmpl-{outcome.id}",
        "model": f"student@{(outcome.evidence.release or '')[:12]}",
        "created": int(outcome.started_at),
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    outcome.stop_clock()
    if not outcome.request.stream:
        await note(deps, outcome)
        whole = completion_from_answer(outcome.draft, **identity)
        body = json.dumps(whole).encode()
        return Delivery(headers=headers, body=body, settle=lambda: _finish_draft(deps, outcome))
    include_usage = outcome.request.include_usage
    chunks = chunks_from_answer(outcome.draft, **identity, include_usage=include_usage)
    if include_usage:
        chunks[-1]["tutelage"] = description
    return Delivery(headers=headers, events=_DraftStream(deps, outcome, chunks))


async def deliver_whole(deps: Deps, outcome: Outcome) -> Delivery:
    """The teacher's answer, its bytes as they came. Raises CallError, recorded."""
    with _waiting(deps, outcome):
        reply = await deps.upstream.complete(deps.targets[outcome.model], outcome.request.body)
        _read_reply(outcome, reply)
    outcome.answer = outcome.teacher_answer
    headers = _write_headers(outcome, _describe(deps, outcome))
    outcome.stop_clock()
    await note(deps, outcome)
    return Delivery(headers=headers, body=reply.raw, settle=lambda: settle(deps, outcome))


async def deliver_stream(deps: Deps, outcome: Outcome) -> Delivery:
    """The teacher's stream from its first chunk on. Raises CallError, recorded."""
    with _waiting(deps, outcome):
        stream = await deps.upstream.open_stream(deps.targets[outcome.model], outcome.request.body)
    outcome.attempts = stream.attempts
    headers = _write_headers(outcome, _describe(deps, outcome))
    return Delivery(headers=headers, events=_TeacherStream(deps, outcome, stream))


class _DraftStream:
    """A draft in chunks. A client that leaves before their end gets no audit: nothing of what
    would be checked was taken."""

    def __init__(self, deps: Deps, outcome: Outcome, chunks: list[dict[str, Any]]) -> None:
        self._deps, self._outcome, self._chunks = deps, outcome, chunks
        self._closed = False
        outcome.status = "broken"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield encode(chunk)
        self._outcome.status = "ok"
        await note(self._deps, self._outcome)
        self._outcome.status = "broken"  # until the last byte has gone out
        yield DONE
        self._outcome.status = "ok"

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._outcome.status == "broken":
            self._outcome.drop_audit()
        _finish_draft(self._deps, self._outcome)


class _TeacherStream:
    """The upstream's stream passed on as it comes; what it cost is known, and told, at its end."""

    def __init__(self, deps: Deps, outcome: Outcome, stream: StreamReply) -> None:
        self._deps, self._outcome, self._stream = deps, outcome, stream
        self._overhead_s = outcome.overhead_ms / 1000
        self._closed = False
        self._told = False
        self._last: Mapping[str, Any] = {}
        outcome.status = "broken"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for raw, chunk in self._stream.events():
                event = self._adapt(raw, chunk)
                if event is not None:
                    yield event
        except StreamBroken as broken:
            error = ApiError(str(broken), code="stream_broken", status=502)
            await self._note("broken")
            yield b"data: " + error.body() + b"\n\n"
            return
        if self._outcome.request.include_usage and not self._told:
            yield self._close_with_usage()
        await self._note("ok")
        yield DONE
        self._outcome.status = "ok"

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        outcome = self._outcome
        outcome.stop_clock()
        # From the first chunk on the upstream set the pace.
        outcome.upstream_s = outcome.elapsed_s - self._overhead_s
        try:
            await self._stream.aclose()
        finally:
            _read_stream(outcome, self._stream)
            settle(self._deps, outcome)

    async def _note(self, status: Status) -> None:
        """What the journal is told before the last byte."""
        outcome = self._outcome
        outcome.upstream_s = outcome.elapsed_s - self._overhead_s
        _read_stream(outcome, self._stream)
        outcome.status = status
        await note(self._deps, outcome)
        outcome.status = "broken"  # until it has gone out

    def _adapt(self, raw: bytes, chunk: dict[str, Any]) -> bytes | None:
        """The event for the client: usage only where it asked for it, and there with our part."""
        if not self._outcome.request.include_usage:
            if is_usage_chunk(chunk):
                return None
            if "usage" not in chunk:
                return raw
            return encode({key: value for key, value in chunk.items() if key != "usage"})
        self._last = chunk
        if not is_usage_chunk(chunk):
            return raw
        return self._tell(chunk)

    def _close_with_usage(self) -> bytes:
        """The chunk that was asked for, where the upstream sent none of its own."""
        usage = self._stream.assembled.usage
        head = {key: value for key, value in self._last.items() if key in _HEAD}
        return self._tell({**head, "choices": [], "usage": usage})

    def _tell(self, chunk: Mapping[str, Any]) -> bytes:
        self._told = True
        _read_stream(self._outcome, self._stream)
        return encode({**chunk, "tutelage": _describe(self._deps, self._outcome)})


def _finish_draft(deps: Deps, outcome: Outcome) -> None:
    if outcome.audit is None:
        settle(deps, outcome)
        return
    task = asyncio.create_task(_audit(deps, outcome))
    deps.background.add(task)
    task.add_done_callback(deps.background.discard)


async def _audit(deps: Deps, outcome: Outcome) -> None:
    """Ask the teacher about what was served; a failed audit leaves agreement unknown."""
    began_s = time.perf_counter()
    try:
        reply = await deps.upstream.complete(deps.targets[outcome.model], outcome.request.body)
        _read_reply(outcome, reply)
    except CallError as error:
        outcome.attempts = error.attempts
    except BaseException:
        outcome.attempts = _abandon(began_s)
        raise
    finally:
        settle(deps, outcome)


def _abandon(began_s: float) -> tuple[AttemptLog, ...]:
    """A call that was left before its answer: the upstream may bill it, and nobody will know."""
    elapsed_s = time.perf_counter() - began_s
    log = AttemptLog(
        started_at=time.time() - elapsed_s, latency_ms=elapsed_s * 1000, error=_ABANDONED
    )
    return (log,)


@contextmanager
def _waiting(deps: Deps, outcome: Outcome) -> Iterator[None]:
    """Time spent on the teacher; what fails or is cancelled meanwhile is recorded, then raised.

    Where a draft can stand for the answer, a failure is raised only: the interaction goes on.
    """
    began_s = time.perf_counter()
    try:
        yield
    except CallError as error:
        outcome.upstream_s = time.perf_counter() - began_s
        outcome.attempts = error.attempts
        if outcome.can_fall_back:
            raise
        outcome.status = "error"
        error.headers.update(_write_headers(outcome, _describe(deps, outcome)))
        settle(deps, outcome)
        raise
    except BaseException:
        outcome.upstream_s = time.perf_counter() - began_s
        outcome.attempts = _abandon(began_s)
        outcome.status = "broken"
        settle(deps, outcome)
        raise
    outcome.upstream_s = time.perf_counter() - began_s


def _read_reply(outcome: Outcome, reply: Reply) -> None:
    outcome.attempts = reply.attempts
    outcome.usage = Usage.from_openai(reply.payload.get("usage"))
    model, choice = reply.payload.get("model"), reply.payload["choices"][0]
    outcome.upstream_model = model if isinstance(model, str) else None
    finish = choice.get("finish_reason")
    outcome.teacher_answer = answer_from_message(
        choice.get("message") or {}, finish if isinstance(finish, str) else None
    )


def _read_stream(outcome: Outcome, stream: StreamReply) -> None:
    outcome.attempts = stream.attempts
    outcome.answer = outcome.teacher_answer = stream.assembled.answer
    outcome.usage = Usage.from_openai(stream.assembled.usage)
    outcome.upstream_model = stream.assembled.model


def _describe(deps: Deps, outcome: Outcome) -> dict[str, Any]:
    """Who answered, why and for how much: the headers and the part in a stream's last chunk.

    None is what isn't known, or not yet: a stream's cost at its start, an audit's before it came.
    """
    served, evidence = outcome.ask.tier is Tier.STUDENT, outcome.evidence
    cost = price_outcome(deps, outcome)
    saved = None if cost is None else Decimal(0)
    if served and cost is not None:
        spared = deps.teacher_costs.estimate(outcome.workload)
        saved = None if spared is None else spared - cost
    return {
        "id": outcome.id,
        "tier": str(outcome.ask.tier),
        "model": "student" if served else outcome.model,
        "reason": outcome.ask.reason,
        "confidence": None if evidence is None else evidence.confidence,
        "release": None if evidence is None else evidence.release,
        "attempts": len(outcome.attempts),
        "cost_usd": None if cost is None else plain_usd(cost),
        "saved_usd": None if saved is None else plain_usd(saved),
    }


def _write_headers(outcome: Outcome, description: Mapping[str, Any]) -> dict[str, str]:
    """The description as headers, without what isn't known."""
    headers = {"x-request-id": outcome.id}
    for name, value in description.items():
        if value is not None:
            text = f"{value:.6f}" if isinstance(value, float) else str(value)
            headers[f"x-tutelage-{name.replace('_', '-')}"] = text
    headers["x-tutelage-overhead-ms"] = f"{outcome.overhead_ms:.3f}"
    return headers
