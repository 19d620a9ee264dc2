"""An interaction as spans: the request, below it each ask, below that each call of a model.

Attributes have the names of OpenTelemetry's conventions for generative AI (``gen_ai.…``), of HTTP
and servers, and ``tutelage.…`` for what those don't know. Tokens stand on calls alone, so that a
sum over a trace counts them once. No text of a prompt or an answer is in any of them unless asked
for; then it is the redacted text of the record, and none where the client said ``store: false``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal
from urllib.parse import urlsplit

from policies.promise.accuracy import checks_draft
from policies.promise.policy import PROOF_FAILED
from policies.types import Ask, Tier
from router.record.model import Attempt, Interaction
from router.settings.model import STUDENT_KEY
from router.telemetry.context import RequestSpan, TimedDraft, new_span_id
from router.telemetry.messages import write_input, write_output
from router.upstream.model import AttemptLog, UpstreamTarget
from router.wire.form import Form
from router.wire.requests import ChatRequest

Kind = Literal["server", "internal", "client"]

_OPERATIONS: Mapping[Form, str] = {
    Form.COMPLETIONS: "text_completion",
    Form.EMBEDDINGS: "embeddings",
}
_REQUEST_FIELDS = (
    ("max_tokens", "gen_ai.request.max_tokens"),
    ("max_completion_tokens", "gen_ai.request.max_tokens"),
    ("temperature", "gen_ai.request.temperature"),
    ("top_p", "gen_ai.request.top_p"),
    ("seed", "gen_ai.request.seed"),
    ("frequency_penalty", "gen_ai.request.frequency_penalty"),
    ("presence_penalty", "gen_ai.request.presence_penalty"),
)


@dataclass(frozen=True, kw_only=True)
class Span:
    """``parent_id``: None for a root. Instants in seconds since the epoch. ``attributes``: None
    stands for what isn't known. ``error``: why it failed, None where it didn't."""

    name: str
    kind: Kind
    span_id: str
    parent_id: str | None
    began_at: float
    ended_at: float
    attributes: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What is known of an interaction once it is over. ``logs``: one for each of the record's
    attempts, in their order."""

    request: ChatRequest
    record: Interaction
    logs: Sequence[AttemptLog]
    drafts: Sequence[TimedDraft]
    targets: Mapping[str, UpstreamTarget]
    content: bool


def write_spans(span: RequestSpan, settled: Settled, *, whole: bool) -> Iterator[Span]:
    """The spans of an interaction; without that of the request unless ``whole``."""
    if whole:
        yield _write_request(span, settled)
    calls = list(zip(settled.record.attempts, settled.logs, strict=False))
    drafted = [call for call in calls if call[0].purpose == "draft"]
    for draft in settled.drafts:
        ask = _write_draft(span, settled, draft)
        yield ask
        if draft.ask.tier is Tier.STUDENT:
            # Of the configured models with a target the student is none.
            rung = draft.ask.rung if draft.ask.rung in settled.targets else STUDENT_KEY
            own = [call for call in drafted if call[0].model == rung]
            yield from _write_calls(ask, settled, own)
    for purpose, asked in groupby(
        (call for call in calls if call[0].purpose != "draft"), lambda call: call[0].purpose
    ):
        made = list(asked)
        ask = _write_teacher(span, settled, purpose, made)
        yield ask
        yield from _write_calls(ask, settled, made)


def _write_request(span: RequestSpan, settled: Settled) -> Span:
    record, request = settled.record, settled.request
    content: dict[str, Any] = {}
    if settled.content and record.request is not None:
        content = {
            "gen_ai.input.messages": write_input(record.request),
            "gen_ai.output.messages": None
            if record.answer is None
            else write_output(record.answer),
        }
    return Span(
        name=f"POST {span.path}",
        kind="server",
        span_id=span.span_id,
        parent_id=span.parent_id,
        began_at=record.created_at,
        ended_at=record.created_at + record.latency_ms / 1000,
        attributes={
            "http.request.method": "POST",
            "http.route": span.path,
            "gen_ai.operation.name": _name_operation(request),
            "gen_ai.request.model": request.model,
            "tutelage.id": record.id,
            "tutelage.workload": record.workload,
            "tutelage.tenant": record.tenant,
            "tutelage.tier": str(record.tier),
            "tutelage.model": record.model,
            "tutelage.reason": record.reason,
            "tutelage.release": record.release,
            "tutelage.confidence": record.confidence,
            "tutelage.agreed": record.agreed,
            "tutelage.overhead_ms": record.overhead_ms,
            "tutelage.cost_usd": _to_float(record.cost_usd),
            "tutelage.teacher_cost_usd": _to_float(record.teacher_cost_usd),
            **content,
        },
        error=None if record.status == "ok" else record.status,
    )


def _write_draft(span: RequestSpan, settled: Settled, draft: TimedDraft) -> Span:
    """``ask recall`` or ``ask student``, whoever made the draft."""
    ask, evidence = draft.ask, draft.evidence
    return Span(
        name=f"ask {ask.tier}",
        kind="internal",
        span_id=new_span_id(),
        parent_id=span.span_id,
        began_at=draft.began_at,
        ended_at=draft.ended_at,
        attributes={
            "gen_ai.operation.name": _name_operation(settled.request),
            "gen_ai.provider.name": "tutelage",
            "gen_ai.request.model": ask.rung or str(ask.tier),
            "tutelage.tier": str(ask.tier),
            "tutelage.reason": ask.reason,
            "tutelage.served": _is_served(ask, settled),
            "tutelage.release": evidence.release,
            "tutelage.confidence": evidence.confidence,
            "tutelage.draft_agreed": settled.record.draft_agreed,
        },
        error=None if evidence.available else "unavailable",
    )


def _is_served(ask: Ask, settled: Settled) -> bool:
    """Of several drafts of a tier one at most is delivered: that of the model that is recorded."""
    named = ask.tier is Tier.RECALL or settled.record.model == (ask.rung or STUDENT_KEY)
    return settled.record.tier is ask.tier and named


_Call = tuple[Attempt, AttemptLog]


def _write_teacher(
    span: RequestSpan, settled: Settled, purpose: str, calls: Sequence[_Call]
) -> Span:
    """``ask teacher``, ``ask check`` (by chance, and awaited) or ``ask audit`` (in the background),
    from its first try to the end of its last."""
    record = settled.record
    steps = [step for step in record.trace if step["tier"] == Tier.TEACHER]
    step = steps[-1] if steps else {"reason": record.reason, "propensity": record.propensity}
    name = "audit" if purpose == "audit" else "teacher"
    if step["reason"] == PROOF_FAILED or checks_draft(str(step["reason"]), record.propensity):
        name = "check"
    last, log = calls[-1]
    return Span(
        name=f"ask {name}",
        kind="internal",
        span_id=new_span_id(),
        parent_id=span.span_id,
        began_at=calls[0][0].started_at,
        ended_at=last.started_at + log.latency_ms / 1000,
        attributes={
            "tutelage.tier": str(Tier.TEACHER),
            "tutelage.reason": step["reason"],
            "tutelage.propensity": step["propensity"],
            "tutelage.threshold": record.threshold,
            "tutelage.draft_agreed": record.draft_agreed,
            "tutelage.tries": len(calls),
        },
        error=log.error,
    )


def _write_calls(ask: Span, settled: Settled, calls: Sequence[_Call]) -> Iterator[Span]:
    """Each try of a model behind an upstream, under the id that the upstream was told."""
    for attempt, log in calls:
        target = settled.targets.get(attempt.model)
        model = attempt.model if target is None else target.model
        yield Span(
            name=f"{_name_operation(settled.request)} {model}",
            kind="client",
            span_id=log.span_id or new_span_id(),
            parent_id=ask.span_id,
            began_at=attempt.started_at,
            ended_at=attempt.started_at + log.latency_ms / 1000,
            attributes={
                **_describe_request(settled, model, target),
                **_describe_answer(settled.record, attempt, log, settled.request.stream),
            },
            error=log.error,
        )


def _describe_request(
    settled: Settled, model: str, target: UpstreamTarget | None
) -> dict[str, Any]:
    body = settled.request.body
    said = {
        name: body[key] for key, name in _REQUEST_FIELDS if isinstance(body.get(key), int | float)
    }
    stream = settled.request.stream or None
    address: dict[str, Any] = {}
    if target is not None:
        parts = urlsplit(target.base_url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80)
        address = {"server.address": parts.hostname, "server.port": port}
    return {
        "gen_ai.operation.name": _name_operation(settled.request),
        "gen_ai.provider.name": "openai" if target is None else target.dialect,
        "gen_ai.request.model": model,
        "gen_ai.request.stream": stream,
        "gen_ai.request.choice.count": settled.request.n if settled.request.n != 1 else None,
        **said,
        **address,
    }


def _describe_answer(
    record: Interaction, attempt: Attempt, log: AttemptLog, stream: bool
) -> dict[str, Any]:
    usage = attempt.usage
    answer = record.draft if attempt.purpose == "draft" else record.teacher_answer
    finish = answer.get("finish_reason") if answer is not None and log.error is None else None
    first_s = None if log.first_byte_ms is None or not stream else log.first_byte_ms / 1000
    return {
        "gen_ai.response.model": attempt.upstream_model,
        "gen_ai.response.finish_reasons": None if finish is None else [finish],
        "gen_ai.response.time_to_first_chunk": first_s,
        "gen_ai.usage.input_tokens": None if usage is None else usage.prompt_tokens,
        "gen_ai.usage.output_tokens": None if usage is None else usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": None if usage is None else usage.cached_tokens,
        "gen_ai.usage.reasoning.output_tokens": None if usage is None else usage.reasoning_tokens,
        "http.response.status_code": log.status,
        "tutelage.model": attempt.model,
        "tutelage.cost_usd": _to_float(attempt.cost_usd),
        "tutelage.cost_basis": attempt.basis,
    }


def _name_operation(request: ChatRequest) -> str:
    return _OPERATIONS.get(request.form, "chat")


def _to_float(usd: Any) -> float | None:
    return None if usd is None else float(usd)
