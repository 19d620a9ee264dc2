"""One request from top to bottom. Read this first.

caller → workload → policy → teacher → answer → settle. The policy is driven to its committing ask;
no release has a student yet, so what commits is always the teacher, and the reason says why.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.static import TeacherPolicy
from policies.types import Features, Tier, Trace, TraceStep
from router.auth import Caller
from router.deps import Deps
from router.errors import ApiError, NotFound
from router.meter.money import plain_usd
from router.meter.prices import Usage
from router.settle import Outcome, price_outcome, settle
from router.upstream.model import CallError, StreamBroken
from router.upstream.stream import StreamReply
from router.wire.openai import ChatRequest, answer_from_message, is_cascadable, is_usage_chunk
from router.wire.sse import DONE, encode
from router.workload import find_workload


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What goes to the client: a whole body, or a stream of encoded events."""

    headers: Mapping[str, str]
    body: bytes | None = None
    events: AsyncIterator[bytes] | None = None


async def run(deps: Deps, request: ChatRequest, caller: Caller) -> Delivery:
    """Answer one request; raises ApiError, after the failed interaction has been recorded."""
    outcome = _decide(deps, request, caller)
    if request.stream:
        return await _deliver_stream(deps, outcome)
    return await _deliver_whole(deps, outcome)


def _decide(deps: Deps, request: ChatRequest, caller: Caller) -> Outcome:
    start_s = time.perf_counter()
    resolved = deps.settings.resolve_model(request.model)
    pinned = resolved is not None and resolved.kind == "pin"
    wants_student = request.options.force is Tier.STUDENT
    if resolved is not None and (wants_student or resolved.key not in deps.targets):
        raise ApiError(
            "No release has a student for this workload yet.",
            status=503,
            code="student_unavailable",
        )
    if resolved is None:
        raise NotFound(
            f"The model '{request.model}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )
    workload, settings = find_workload(
        deps.settings, request.body, request.options.workload, caller.tenant
    )
    policy = TeacherPolicy(_choose_reason(request, pinned=pinned))
    features = Features(
        workload=workload, stream=request.stream, cascadable=is_cascadable(request.body)
    )
    ask = next(policy.flow(features))
    return Outcome(
        id=f"int_{uuid.uuid4().hex}",
        request=request,
        caller=caller,
        workload=workload,
        workload_settings=settings,
        model=resolved.key,
        trace=Trace(steps=(TraceStep(ask=ask),)),
        reason=ask.reason,
        start_s=start_s,
    )


def _choose_reason(request: ChatRequest, *, pinned: bool) -> str:
    if request.options.force is Tier.TEACHER:
        return "forced"
    return "pinned" if pinned else "no_release"


async def _deliver_whole(deps: Deps, outcome: Outcome) -> Delivery:
    began_s = time.perf_counter()
    try:
        reply = await deps.upstream.complete(deps.targets[outcome.model], outcome.request.body)
    except CallError as error:
        _fail(deps, outcome, error, began_s)
        raise
    except BaseException:
        outcome.status = "broken"
        settle(deps, outcome)
        raise
    outcome.upstream_s = time.perf_counter() - began_s
    outcome.attempts = reply.attempts
    outcome.usage = Usage.from_openai(reply.payload.get("usage"))
    outcome.upstream_model = reply.payload.get("model")
    choice = reply.payload["choices"][0]
    outcome.answer = answer_from_message(choice.get("message") or {}, choice.get("finish_reason"))
    headers = _write_headers(outcome) | _write_cost(deps, outcome)
    settle(deps, outcome)
    return Delivery(headers=headers, body=reply.raw)


async def _deliver_stream(deps: Deps, outcome: Outcome) -> Delivery:
    began_s = time.perf_counter()
    try:
        stream = await deps.upstream.open_stream(deps.targets[outcome.model], outcome.request.body)
    except CallError as error:
        _fail(deps, outcome, error, began_s)
        raise
    except BaseException:
        outcome.status = "broken"
        settle(deps, outcome)
        raise
    outcome.upstream_s = time.perf_counter() - began_s
    outcome.attempts = stream.attempts
    return Delivery(headers=_write_headers(outcome), events=_relay(deps, outcome, stream))


async def _relay(deps: Deps, outcome: Outcome, stream: StreamReply) -> AsyncIterator[bytes]:
    """Pass the stream on, as it comes; what it cost is known, and told, at its end."""
    outcome.status = "broken"
    try:
        async with stream:
            async for raw, chunk in stream.events():
                event = _adapt(deps, outcome, stream, raw, chunk)
                if event is not None:
                    yield event
        outcome.status = "ok"
        yield DONE
    except StreamBroken as broken:
        error = ApiError(str(broken), code="stream_broken", status=502)
        yield b"data: " + error.body() + b"\n\n"
    finally:
        _read_stream(outcome, stream)
        settle(deps, outcome)


def _adapt(
    deps: Deps, outcome: Outcome, stream: StreamReply, raw: bytes, chunk: dict[str, Any]
) -> bytes | None:
    """The event for the client: usage only where it asked for it, and there with our own part."""
    if not outcome.request.include_usage:
        if is_usage_chunk(chunk):
            return None
        if "usage" not in chunk:
            return raw
        return encode({key: value for key, value in chunk.items() if key != "usage"})
    if not is_usage_chunk(chunk):
        return raw
    _read_stream(outcome, stream)
    cost = price_outcome(deps, outcome)
    extension = {
        "id": outcome.id,
        "tier": "teacher",
        "model": outcome.model,
        "reason": outcome.reason,
        "cost_usd": None if cost is None else plain_usd(cost),
    }
    return encode({**chunk, "tutelage": extension})


def _read_stream(outcome: Outcome, stream: StreamReply) -> None:
    outcome.attempts = stream.attempts
    outcome.answer = stream.assembled.answer
    outcome.usage = Usage.from_openai(stream.assembled.usage)
    outcome.upstream_model = stream.assembled.model


def _fail(deps: Deps, outcome: Outcome, error: CallError, began_s: float) -> None:
    outcome.upstream_s = time.perf_counter() - began_s
    outcome.status = "error"
    outcome.attempts = error.attempts
    error.headers.update(_write_headers(outcome))
    settle(deps, outcome)


def _write_headers(outcome: Outcome) -> dict[str, str]:
    return {
        "x-request-id": outcome.id,
        "x-tutelage-id": outcome.id,
        "x-tutelage-tier": "teacher",
        "x-tutelage-model": outcome.model,
        "x-tutelage-reason": outcome.reason,
        "x-tutelage-attempts": str(len(outcome.attempts)),
        "x-tutelage-overhead-ms": f"{outcome.overhead_ms:.3f}",
    }


def _write_cost(deps: Deps, outcome: Outcome) -> dict[str, str]:
    cost = price_outcome(deps, outcome)
    if cost is None:
        return {}
    return {"x-tutelage-cost-usd": plain_usd(cost), "x-tutelage-saved-usd": "0"}
