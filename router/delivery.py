"""The answer on its way to the client: a draft, the teacher's whole answer, or its stream.

Whoever takes a ``Delivery`` closes it once, whatever became of it: that is when it is settled, and
when a stream that was never read, or read in part, lets go of its upstream.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from policies.types import Answer, Tier
from router.deps import Deps
from router.errors import ApiError
from router.meter.money import plain_usd
from router.meter.prices import Usage
from router.outcome import Outcome
from router.record.model import Status, write_ask
from router.settings.model import STUDENT_KEY
from router.settle import note, price_outcome, settle
from router.upstream.model import (
    AttemptLog,
    CallError,
    CallFailed,
    Reply,
    StreamBroken,
    UpstreamTarget,
)
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
    ``fail``: the event that ends a stream which can't go on.
    """

    headers: Mapping[str, str]
    body: bytes | None = None
    events: EventStream | None = None
    settle: Callable[[], None] | None = None
    fail: Callable[[ApiError], bytes] | None = None

    async def aclose(self) -> None:
        """Settle the interaction; a stream is ok where it was read to its end, else broken."""
        if self.events is not None:
            await self.events.aclose()
        if self.settle is not None:
            self.settle()


async def deliver_draft(deps: Deps, outcome: Outcome) -> Delivery:
    """The draft as a completion or a stream, whole from its start: it was judged before.

    A student's tokens in process cost nothing and count as none.
    """
    if outcome.draft is None or outcome.evidence is None:
        raise ApiError("The policy chose a draft that was never made.")
    outcome.answer = outcome.draft
    description = _describe(deps, outcome)
    headers = _write_headers(outcome, description)
    identity: dict[str, Any] = {
        "id": f"chatcmpl-{outcome.id}",
        "model": _name_draft(outcome, outcome.evidence.release),
        "created": int(outcome.started_at),
        "usage": _usage_of_draft(outcome),
    }
    outcome.stop_clock()
    request = outcome.request
    if not request.stream:
        await note(deps, outcome)
        body = write_whole(completion_from_answer(outcome.draft, **identity), request.native)
        return Delivery(headers=headers, body=body, settle=lambda: _finish_draft(deps, outcome))
    chunks = chunks_from_answer(outcome.draft, **identity, include_usage=request.include_usage)
    relay = new_relay(
        request.native,
        Form.CHAT,
        include_usage=request.include_usage,
        describe=lambda: _in_numbers(description),
    )
    parts = []
    for chunk in chunks:
        parts += relay.take(encode(chunk), chunk, [chunk], last=False)
    parts += relay.finish(identity["usage"])
    return Delivery(headers=headers, events=_DraftStream(deps, outcome, parts), fail=relay.fail)


async def deliver_whole(deps: Deps, outcome: Outcome) -> Delivery:
    """The teacher's answer, its bytes as they came. Raises CallError, recorded."""
    with _waiting(deps, outcome) as tries:
        target, request = _target(deps, outcome), outcome.request
        reply = await deps.upstream.complete(target, request.body, request.native, tries)
        outcome.answer = read_reply(outcome, reply)
        body = _write_body(outcome, reply)
    headers = _write_headers(outcome, _describe(deps, outcome))
    outcome.stop_clock()
    await note(deps, outcome)
    return Delivery(headers=headers, body=body, settle=lambda: settle(deps, outcome))


async def deliver_stream(deps: Deps, outcome: Outcome) -> Delivery:
    """The teacher's stream from its first chunk on. Raises CallError, recorded."""
    with _waiting(deps, outcome) as tries:
        target, request = _target(deps, outcome), outcome.request
        stream = await deps.upstream.open_stream(target, request.body, request.native, tries)
    outcome.attempts = stream.attempts
    outcome.answered_by = stream.attempts[-1].model
    headers = _write_headers(outcome, _describe(deps, outcome, ended=False))
    events = _TeacherStream(deps, outcome, stream)
    return Delivery(headers=headers, events=events, fail=events.fail)


def _usage_of_draft(outcome: Outcome) -> dict[str, int] | None:
    usage = outcome.draft_usage
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


class _DraftStream:
    """A draft in chunks. A client that leaves before their end gets no audit: nothing of what
    would be checked was taken."""

    def __init__(self, deps: Deps, outcome: Outcome, parts: list[bytes]) -> None:
        self._deps, self._outcome, self._parts = deps, outcome, parts
        self._closed = False
        outcome.status = "broken"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        *parts, last = self._parts
        for part in parts:
            yield part
        self._outcome.status = "ok"
        await note(self._deps, self._outcome)
        self._outcome.status = "broken"  # until the last byte has gone out
        yield last
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
        request = outcome.request
        usage, describe = request.include_usage, self._describe
        self._relay = new_relay(request.native, stream.form, include_usage=usage, describe=describe)
        self.fail = self._relay.fail
        outcome.status = "broken"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream, relay = self._stream, self._relay
        try:
            async for raw, event in stream.events():
                parts = relay.take(raw, event, stream.understood, last=stream.ended)
                if stream.ended:
                    await self._note("ok")
                for part in parts:
                    yield part
            closing = relay.finish(stream.assembled.usage)
        except (StreamBroken, Untranslatable) as error:
            broken = error if isinstance(error, StreamBroken) else StreamBroken(str(error))
            await self._note("broken")
            yield relay.fail(ApiError(str(broken), code="stream_broken", status=502))
            return
        await self._note("ok")
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

    async def _note(self, status: Status) -> None:
        """What the journal is told before the last byte, once."""
        outcome = self._outcome
        if outcome.noted is not None:
            return
        outcome.upstream_s = outcome.elapsed_s - self._overhead_s
        _read_stream(outcome, self._stream)
        outcome.status = status
        await note(self._deps, outcome)
        outcome.status = "broken"  # until it has gone out

    def _describe(self) -> dict[str, Any]:
        """Everything that is known now, above all the cost."""
        _read_stream(self._outcome, self._stream)
        return _in_numbers(_describe(self._deps, self._outcome))


def _name_draft(outcome: Outcome, release: str | None) -> str:
    """What a draft's completion says in ``model``: whose words these are."""
    if outcome.ask.tier is Tier.RECALL:
        return f"recall@{outcome.model}"
    if outcome.drafter != STUDENT_KEY:
        return outcome.drafter
    return f"student@{(release or 'base')[:12]}"


def _finish_draft(deps: Deps, outcome: Outcome) -> None:
    if outcome.audit is None:
        settle(deps, outcome)
        return
    summary = {
        "id": outcome.id,
        "tier": str(outcome.ask.tier),
        "model": outcome.speaker,
        "cost_usd": None,
        "trace": [write_ask(step.ask) for step in outcome.trace.steps],
    }
    deps.unaudited.put(outcome.id, outcome.caller.key_name, summary)
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


async def _audit(deps: Deps, outcome: Outcome) -> None:
    """Ask the teacher about what was served; a failed audit leaves agreement unknown."""
    tries: list[AttemptLog] = []
    target = replace(deps.targets[outcome.model], fallbacks=())
    try:
        request = outcome.request
        reply = await deps.upstream.complete(target, request.body, request.native, tries)
        read_reply(outcome, reply)
    except BaseException as error:
        outcome.attempts = tuple(tries)
        if not isinstance(error, CallError):
            raise
    finally:
        settle(deps, outcome)


def _target(deps: Deps, outcome: Outcome) -> UpstreamTarget:
    """Whom to ask. A check by chance has no fallbacks: nobody else's answer would check anything,
    and the draft is fit to be served."""
    target = deps.targets[outcome.model]
    return replace(target, fallbacks=()) if outcome.can_fall_back else target


@contextmanager
def _waiting(deps: Deps, outcome: Outcome) -> Iterator[list[AttemptLog]]:
    """Time spent on the teacher; what fails or is cancelled meanwhile is recorded, then raised.

    Yields the list that the call adds its tries to. Where a draft may stand for the answer, a
    failure is raised only: the interaction goes on.
    """
    began_s = time.perf_counter() - outcome.upstream_s  # the student's server was waited for, too
    tries: list[AttemptLog] = []
    try:
        yield tries
    except CallError as error:
        outcome.upstream_s = time.perf_counter() - began_s
        outcome.attempts = error.attempts
        if not outcome.can_fall_back and not outcome.may_draft_after(error):
            record_failure(deps, outcome, error)
        raise
    except BaseException:
        outcome.upstream_s = time.perf_counter() - began_s
        outcome.attempts = tuple(tries)
        outcome.status = "broken"
        settle(deps, outcome)
        raise
    outcome.upstream_s = time.perf_counter() - began_s


def record_failure(deps: Deps, outcome: Outcome, error: CallError) -> None:
    """Settle an interaction that ends in this error, which is told whose it is."""
    outcome.status = "error"
    error.headers.update(_write_headers(outcome, _describe(deps, outcome)))
    settle(deps, outcome)


def read_reply(outcome: Outcome, reply: Reply) -> Answer | None:
    """Note what was said, and what it took; None where the form holds no answer to compare."""
    outcome.attempts = reply.attempts
    outcome.answered_by = reply.attempts[-1].model or outcome.model
    outcome.usage = Usage.from_openai(reply.payload.get("usage"))
    model, choices = reply.payload.get("model"), reply.payload["choices"]
    outcome.upstream_model = model if isinstance(model, str) else None
    if not choices:
        return None
    choice = choices[0]
    finish = choice.get("finish_reason")
    answer = answer_from_message(
        choice.get("message") or {}, finish if isinstance(finish, str) else None
    )
    outcome.teacher_answer = answer if outcome.is_teachers else None
    return answer


def _read_stream(outcome: Outcome, stream: StreamReply) -> None:
    outcome.attempts, outcome.first_token_s = stream.attempts, stream.first_token_s
    outcome.answer = stream.assembled.answer
    outcome.teacher_answer = outcome.answer if outcome.is_teachers else None
    outcome.usage = Usage.from_openai(stream.assembled.usage)
    outcome.upstream_model = stream.assembled.model


def _describe(deps: Deps, outcome: Outcome, *, ended: bool = True) -> dict[str, Any]:
    """Who answered, why and for how much: of the headers and of a stream's last chunk.

    None is what isn't known, or not yet: a stream's cost before it has ``ended``, an audit's before
    it came.
    """
    tier, evidence = outcome.ask.tier, outcome.evidence
    cost = price_outcome(deps, outcome) if ended else None
    saved = None if cost is None or outcome.status == "error" else Decimal(0)
    if tier is not Tier.TEACHER and cost is not None:
        spared = deps.teacher_costs.estimate(outcome.workload)
        saved = None if spared is None else spared - cost
    return {
        "id": outcome.id,
        "tier": str(tier),
        "model": outcome.speaker,
        "reason": outcome.ask.reason,
        "confidence": None if evidence is None else evidence.confidence,
        "release": None if evidence is None else evidence.release,
        "attempts": len(outcome.draft_attempts) + len(outcome.attempts),
        "cost_usd": cost,
        "saved_usd": saved,
    }


def _in_numbers(description: Mapping[str, Any]) -> dict[str, Any]:
    """The description for JSON, where money is a number, as in ``/v1/interactions``."""
    return {
        name: float(value) if isinstance(value, Decimal) else value
        for name, value in description.items()
    }


def _write_headers(outcome: Outcome, description: Mapping[str, Any]) -> dict[str, str]:
    """The description as headers, without what isn't known."""
    headers = {"x-request-id": outcome.id}
    if outcome.request.form is Form.MESSAGES:
        headers["request-id"] = outcome.id  # where Anthropic's client looks for it
    for name, value in description.items():
        if value is not None:
            text = f"{value:.6f}" if isinstance(value, float) else str(value)
            text = plain_usd(value) if isinstance(value, Decimal) else text
            headers[f"x-tutelage-{name.replace('_', '-')}"] = text
    headers["x-tutelage-overhead-ms"] = f"{outcome.overhead_ms:.3f}"
    return headers
