"""The answer on its way to the client: a draft, the teacher's whole answer, or its stream.

Whoever takes a ``Delivery`` closes it once, whatever became of it: that is when it is settled, and
when a stream that was never read, or read in part, lets go of its upstream.
"""

from __future__ import annotations

import asyncio
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
from router.settle import Outcome, price_outcome, settle
from router.upstream.model import CallError, CallFailed, Reply, StreamBroken
from router.upstream.stream import StreamReply
from router.wire.form import Form, Untranslatable
from router.wire.openai import answer_from_message, chunks_from_answer, completion_from_answer
from router.wire.speaking import new_relay, write_whole
from router.wire.sse import encode


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


def deliver_draft(deps: Deps, outcome: Outcome) -> Delivery:
    """The draft as a completion or a stream; its tokens cost nothing and count as none."""
    if outcome.draft is None or outcome.evidence is None:
        raise ApiError("The policy chose a draft that was never made.")
    outcome.answer = outcome.draft
    description = _describe(deps, outcome)
    headers = _write_headers(outcome, description)
    identity: dict[str, Any] = {
        "id": f"chatcmpl-{outcome.id}",
        "model": _name_draft(outcome, outcome.evidence.release),
        "created": int(outcome.started_at),
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }
    outcome.stop_clock()
    request = outcome.request
    if not request.stream:
        body = write_whole(completion_from_answer(outcome.draft, **identity), request.native)
        return Delivery(headers=headers, body=body, settle=lambda: _finish_draft(deps, outcome))
    chunks = chunks_from_answer(outcome.draft, **identity, include_usage=request.include_usage)
    relay = new_relay(
        request.native,
        Form.CHAT,
        include_usage=request.include_usage,
        describe=lambda: description,
    )
    parts = []
    for chunk in chunks:
        parts += relay.take(encode(chunk), chunk, [chunk], last=False)
    parts += relay.finish(identity["usage"])
    return Delivery(headers=headers, events=_DraftStream(deps, outcome, parts))


async def deliver_whole(deps: Deps, outcome: Outcome) -> Delivery:
    """The teacher's answer, its bytes as they came. Raises CallError, recorded."""
    with _waiting(deps, outcome):
        reply = await _ask(deps, outcome)
        read_reply(outcome, reply)
        body = _write_body(outcome, reply)
    outcome.answer = outcome.teacher_answer
    headers = _write_headers(outcome, _describe(deps, outcome))
    outcome.stop_clock()
    return Delivery(headers=headers, body=body, settle=lambda: settle(deps, outcome))


async def deliver_stream(deps: Deps, outcome: Outcome) -> Delivery:
    """The teacher's stream from its first chunk on. Raises CallError, recorded."""
    with _waiting(deps, outcome):
        target, request = deps.targets[outcome.model], outcome.request
        stream = await deps.upstream.open_stream(target, request.body, request.native)
    outcome.attempts = stream.attempts
    headers = _write_headers(outcome, _describe(deps, outcome))
    return Delivery(headers=headers, events=_TeacherStream(deps, outcome, stream))


class _DraftStream:
    """A draft in chunks. A client that leaves before their end gets no audit: nothing of what
    would be checked was taken."""

    def __init__(self, deps: Deps, outcome: Outcome, parts: list[bytes]) -> None:
        self._deps, self._outcome, self._parts = deps, outcome, parts
        self._closed = False
        outcome.status = "broken"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part
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
        self._relay = new_relay(
            outcome.request.native,
            stream.form,
            include_usage=outcome.request.include_usage,
            describe=self._describe,
        )
        outcome.status = "broken"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream, relay = self._stream, self._relay
        try:
            async for raw, event in stream.events():
                for part in relay.take(raw, event, stream.understood, last=stream.ended):
                    yield part
            closing = relay.finish(stream.assembled.usage)
        except (StreamBroken, Untranslatable) as error:
            broken = error if isinstance(error, StreamBroken) else StreamBroken(str(error))
            yield relay.fail(ApiError(str(broken), code="stream_broken", status=502))
            return
        for part in closing:
            yield part
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

    def _describe(self) -> dict[str, Any]:
        """Everything that is known now, above all the cost."""
        _read_stream(self._outcome, self._stream)
        return _describe(self._deps, self._outcome)


def _name_draft(outcome: Outcome, release: str | None) -> str:
    """What a draft's completion says in ``model``: whose words these are."""
    if outcome.ask.tier is Tier.RECALL:
        return f"recall@{outcome.model}"
    return f"student@{(release or '')[:12]}"


def _finish_draft(deps: Deps, outcome: Outcome) -> None:
    if outcome.audit is None:
        settle(deps, outcome)
        return
    task = asyncio.create_task(_audit(deps, outcome))
    deps.background.add(task)
    task.add_done_callback(deps.background.discard)


def _write_body(outcome: Outcome, reply: Reply) -> bytes:
    if reply.form is outcome.request.form:
        return reply.raw
    try:
        return write_whole(reply.payload, outcome.request.native)
    except Untranslatable as broken:
        failure = CallFailed(
            f"The upstream of model '{outcome.model}' gave an answer that can't be told: {broken}."
        )
        failure.attempts = reply.attempts
        raise failure from None


async def _ask(deps: Deps, outcome: Outcome) -> Reply:
    request = outcome.request
    return await deps.upstream.complete(deps.targets[outcome.model], request.body, request.native)


async def _audit(deps: Deps, outcome: Outcome) -> None:
    """Ask the teacher about what was served; a failed audit leaves agreement unknown."""
    try:
        read_reply(outcome, await _ask(deps, outcome))
    except CallError as error:
        outcome.attempts = error.attempts
    finally:
        settle(deps, outcome)


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
        outcome.status = "broken"
        settle(deps, outcome)
        raise
    outcome.upstream_s = time.perf_counter() - began_s


def read_reply(outcome: Outcome, reply: Reply) -> None:
    """Note what the teacher said, and what it took."""
    outcome.attempts = reply.attempts
    outcome.usage = Usage.from_openai(reply.payload.get("usage"))
    model, choices = reply.payload.get("model"), reply.payload["choices"]
    outcome.upstream_model = model if isinstance(model, str) else None
    if not choices:
        return
    choice = choices[0]
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
    tier, evidence = outcome.ask.tier, outcome.evidence
    cost = price_outcome(deps, outcome)
    saved = None if cost is None else Decimal(0)
    if tier is not Tier.TEACHER and cost is not None:
        spared = deps.teacher_costs.estimate(outcome.workload)
        saved = None if spared is None else spared - cost
    return {
        "id": outcome.id,
        "tier": str(tier),
        "model": "student" if tier is Tier.STUDENT else outcome.model,
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
    if outcome.request.form is Form.MESSAGES:
        headers["request-id"] = outcome.id  # where Anthropic's client looks for it
    for name, value in description.items():
        if value is not None:
            text = f"{value:.6f}" if isinstance(value, float) else str(value)
            headers[f"x-tutelage-{name.replace('_', '-')}"] = text
    headers["x-tutelage-overhead-ms"] = f"{outcome.overhead_ms:.3f}"
    return headers
