"""One request from top to bottom. Read this first.

caller → workload → policy ⇄ student's draft → teacher or draft → answer → settle. The policy is
driven to its committing ask; what it wants in the background is done after delivery.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from policies.base import Policy
from policies.static import StudentPolicy, TeacherPolicy
from policies.types import Ask, Evidence, Features, Tier, Trace, TraceStep
from router.auth import Caller
from router.deps import Deps
from router.errors import ApiError, NotFound
from router.meter.money import plain_usd
from router.meter.prices import Usage
from router.policies_for import build_policy
from router.release import Release
from router.settle import Outcome, price_outcome, settle
from router.upstream.model import CallError, Reply, StreamBroken
from router.upstream.stream import StreamReply
from router.wire.openai import (
    ChatRequest,
    answer_from_message,
    chunks_from_answer,
    completion_from_answer,
    input_text,
    is_cascadable,
    is_usage_chunk,
)
from router.wire.sse import DONE, encode
from router.workload import find_workload

_log = logging.getLogger("tutelage.pipeline")

_UNDECIDED = Ask(tier=Tier.TEACHER, commit=True, reason="undecided")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What goes to the client: a whole body, or a stream of encoded events."""

    headers: Mapping[str, str]
    body: bytes | None = None
    events: AsyncIterator[bytes] | None = None


async def run(deps: Deps, request: ChatRequest, caller: Caller) -> Delivery:
    """Answer one request; raises ApiError, after the failed interaction has been recorded."""
    outcome = await _decide(deps, request, caller)
    if outcome.ask.tier is Tier.STUDENT:
        return _deliver_draft(deps, outcome)
    if request.stream:
        return await _deliver_stream(deps, outcome)
    return await _deliver_whole(deps, outcome)


async def _decide(deps: Deps, request: ChatRequest, caller: Caller) -> Outcome:
    """Drive the policy to its committing ask, drafting on the way."""
    start_s = time.perf_counter()
    resolved = deps.settings.resolve_model(request.model)
    if resolved is None:
        raise NotFound(
            f"The model '{request.model}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )
    workload, settings = find_workload(
        deps.settings, request.body, request.options.workload, caller.tenant
    )
    release = deps.releases.get(workload)
    teacher = resolved.key if resolved.key in deps.targets else deps.settings.teacher_key
    pinned = resolved.kind == "pin"
    force = request.options.force
    if pinned and force is None:
        force = Tier.TEACHER if resolved.key in deps.targets else Tier.STUDENT
    if teacher is None or (force is Tier.STUDENT and release is None):
        raise ApiError(
            "No release has a student for this workload yet.",
            status=503,
            code="student_unavailable",
        )
    policy: Policy
    reason = "forced" if request.options.force is not None else "pinned"
    if force is Tier.TEACHER:
        policy = TeacherPolicy(reason)
    elif force is Tier.STUDENT:
        policy = StudentPolicy(deps.coin, 0.0, reason)
    else:
        policy = build_policy(workload, settings, release, deps.promises, deps.coin)
    outcome = Outcome(
        id=f"int_{uuid.uuid4().hex}",
        request=request,
        caller=caller,
        workload=workload,
        workload_settings=settings,
        model=teacher,
        trace=Trace(),
        ask=_UNDECIDED,
        start_s=start_s,
    )
    await _drive(deps, outcome, policy, release)
    return outcome


async def _drive(deps: Deps, outcome: Outcome, policy: Policy, release: Release | None) -> None:
    """Perform asks up to the committing one; note a background ask behind it."""
    features = Features(
        workload=outcome.workload,
        stream=outcome.request.stream,
        student_ready=release is not None,
        cascadable=is_cascadable(outcome.request.body),
    )
    flow = policy.flow(features)
    ask = next(flow)
    steps = []
    while not ask.commit:
        outcome.evidence = await _draft(deps, outcome, release)
        steps.append(TraceStep(ask=ask, evidence=outcome.evidence))
        ask = flow.send(outcome.evidence)
    outcome.ask = ask
    steps.append(TraceStep(ask=ask))
    for background in flow:
        outcome.audit = background
        steps.append(TraceStep(ask=background))
    outcome.trace = Trace(steps=tuple(steps))


async def _draft(deps: Deps, outcome: Outcome, release: Release | None) -> Evidence:
    """The student's draft; whatever goes wrong there, the teacher can still answer."""
    if release is None:
        return Evidence(available=False)
    text = deps.redactor.text(input_text(outcome.request.body))
    loop = asyncio.get_running_loop()
    try:
        outcome.draft, evidence = await loop.run_in_executor(
            deps.drafting, release.draft, text, deps.encoder
        )
    except Exception as error:  # noqa: BLE001 - a broken student must never break an answer
        _log.warning("The student of %s failed: %s", outcome.workload, type(error).__name__)
        return Evidence(available=False, release=release.digest)
    return evidence


def _deliver_draft(deps: Deps, outcome: Outcome) -> Delivery:
    """The draft as a completion or a stream; its tokens cost nothing and count as none."""
    if outcome.draft is None or outcome.evidence is None:
        raise ApiError("The policy chose a draft that was never made.")
    outcome.answer = outcome.draft
    identity = f"chatcmpl-{outcome.id}"
    model = f"student@{(outcome.evidence.release or '')[:12]}"
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    made = int(outcome.started_at)
    headers = _write_headers(outcome)
    saved = deps.teacher_costs.estimate(outcome.workload)
    if not outcome.request.stream:
        headers["x-tutelage-cost-usd"] = "0"
        headers["x-tutelage-saved-usd"] = plain_usd(saved) if saved is not None else "0"
    _finish_draft(deps, outcome)
    if not outcome.request.stream:
        whole = completion_from_answer(
            outcome.draft, id=identity, model=model, created=made, usage=usage
        )
        return Delivery(headers=headers, body=json.dumps(whole).encode())
    chunks = chunks_from_answer(
        outcome.draft,
        id=identity,
        model=model,
        created=made,
        usage=usage,
        include_usage=outcome.request.include_usage,
    )
    if outcome.request.include_usage:
        chunks[-1]["tutelage"] = _describe(outcome, Decimal(0))
    return Delivery(headers=headers, events=_replay_chunks(chunks))


async def _replay_chunks(chunks: list[dict[str, Any]]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield encode(chunk)
    yield DONE


def _finish_draft(deps: Deps, outcome: Outcome) -> None:
    if outcome.audit is None:
        settle(deps, outcome)
        return
    task = asyncio.create_task(_audit(deps, outcome))
    deps.background.add(task)
    task.add_done_callback(deps.background.discard)


async def _audit(deps: Deps, outcome: Outcome) -> None:
    """Ask the teacher about what was served; a failed audit leaves agreement unknown."""
    try:
        reply = await deps.upstream.complete(deps.targets[outcome.model], outcome.request.body)
    except CallError as error:
        outcome.attempts = error.attempts
    else:
        _read_reply(outcome, reply)
    settle(deps, outcome)


def _read_reply(outcome: Outcome, reply: Reply) -> None:
    outcome.attempts = reply.attempts
    outcome.usage = Usage.from_openai(reply.payload.get("usage"))
    outcome.upstream_model = reply.payload.get("model")
    choice = reply.payload["choices"][0]
    outcome.teacher_answer = answer_from_message(
        choice.get("message") or {}, choice.get("finish_reason")
    )


@contextmanager
def _waiting(deps: Deps, outcome: Outcome) -> Iterator[None]:
    """Time spent on the teacher; what fails or is cancelled meanwhile is recorded, then raised."""
    began_s = time.perf_counter()
    try:
        yield
    except CallError as error:
        _fail(deps, outcome, error, began_s)
        raise
    except BaseException:
        outcome.status = "broken"
        settle(deps, outcome)
        raise
    outcome.upstream_s = time.perf_counter() - began_s


async def _deliver_whole(deps: Deps, outcome: Outcome) -> Delivery:
    with _waiting(deps, outcome):
        reply = await deps.upstream.complete(deps.targets[outcome.model], outcome.request.body)
    _read_reply(outcome, reply)
    outcome.answer = outcome.teacher_answer
    headers = _write_headers(outcome) | _write_cost(deps, outcome)
    settle(deps, outcome)
    return Delivery(headers=headers, body=reply.raw)


async def _deliver_stream(deps: Deps, outcome: Outcome) -> Delivery:
    with _waiting(deps, outcome):
        stream = await deps.upstream.open_stream(deps.targets[outcome.model], outcome.request.body)
    outcome.attempts = stream.attempts
    return Delivery(headers=_write_headers(outcome), events=_relay(deps, outcome, stream))


async def _relay(deps: Deps, outcome: Outcome, stream: StreamReply) -> AsyncIterator[bytes]:
    """Pass the stream on, as it comes; what it cost is known, and told, at its end."""
    outcome.status = "broken"
    overhead_s = outcome.overhead_ms / 1000
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
        # From the first chunk on the upstream sets the pace.
        outcome.upstream_s = time.perf_counter() - outcome.start_s - overhead_s
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
    return encode({**chunk, "tutelage": _describe(outcome, cost)})


def _read_stream(outcome: Outcome, stream: StreamReply) -> None:
    outcome.attempts = stream.attempts
    outcome.answer = outcome.teacher_answer = stream.assembled.answer
    outcome.usage = Usage.from_openai(stream.assembled.usage)
    outcome.upstream_model = stream.assembled.model


def _fail(deps: Deps, outcome: Outcome, error: CallError, began_s: float) -> None:
    outcome.upstream_s = time.perf_counter() - began_s
    outcome.status = "error"
    outcome.attempts = error.attempts
    error.headers.update(_write_headers(outcome))
    settle(deps, outcome)


def _describe(outcome: Outcome, cost: Decimal | None) -> dict[str, Any]:
    """Our part of a stream's last chunk."""
    return {
        "id": outcome.id,
        "tier": str(outcome.ask.tier),
        "model": "student" if outcome.ask.tier is Tier.STUDENT else outcome.model,
        "reason": outcome.ask.reason,
        "cost_usd": None if cost is None else plain_usd(cost),
    }


def _write_headers(outcome: Outcome) -> dict[str, str]:
    served = outcome.ask.tier is Tier.STUDENT
    headers = {
        "x-request-id": outcome.id,
        "x-tutelage-id": outcome.id,
        "x-tutelage-tier": str(outcome.ask.tier),
        "x-tutelage-model": "student" if served else outcome.model,
        "x-tutelage-reason": outcome.ask.reason,
        "x-tutelage-attempts": str(len(outcome.attempts)),
        "x-tutelage-overhead-ms": f"{outcome.overhead_ms:.3f}",
    }
    if outcome.evidence is not None and outcome.evidence.confidence is not None:
        headers["x-tutelage-confidence"] = f"{outcome.evidence.confidence:.6f}"
    if outcome.evidence is not None and outcome.evidence.release is not None:
        headers["x-tutelage-release"] = outcome.evidence.release
    return headers


def _write_cost(deps: Deps, outcome: Outcome) -> dict[str, str]:
    cost = price_outcome(deps, outcome)
    if cost is None:
        return {}
    return {"x-tutelage-cost-usd": plain_usd(cost), "x-tutelage-saved-usd": "0"}
