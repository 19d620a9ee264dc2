"""What an interaction was, once it is over: its record, its cost, its metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from policies.compare import choose_comparer, get_comparer
from policies.types import Answer, Ask, Evidence, Tier, Trace, Trial
from router.auth import Caller
from router.deps import Deps
from router.meter.prices import Usage, cost_of
from router.record.model import Attempt, Interaction, Status
from router.settings.model import WorkloadSettings
from router.upstream.model import AttemptLog
from router.wire.openai import ChatRequest, answer_to_json, input_text, shape_of


@dataclass(kw_only=True)
class Outcome:
    """An interaction while it runs; filled in by the pipeline, read once by ``settle``."""

    id: str
    request: ChatRequest
    caller: Caller
    workload: str
    workload_settings: WorkloadSettings | None
    model: str
    trace: Trace
    ask: Ask
    draft: Answer | None = None
    evidence: Evidence | None = None
    audit: Ask | None = None
    teacher_answer: Answer | None = None
    started_at: float = field(default_factory=time.time)
    start_s: float = field(default_factory=time.perf_counter)
    upstream_s: float = 0.0
    status: Status = "ok"
    answer: Answer | None = None
    usage: Usage | None = None
    upstream_model: str | None = None
    attempts: Sequence[AttemptLog] = ()

    @property
    def overhead_ms(self) -> float:
        """Time so far that wasn't spent waiting for upstreams."""
        return max(0.0, time.perf_counter() - self.start_s - self.upstream_s) * 1000


def price_outcome(deps: Deps, outcome: Outcome) -> Decimal | None:
    """USD of the interaction, None where unknown; a draft alone costs nothing."""
    if outcome.ask.tier is Tier.STUDENT and not outcome.attempts:
        return Decimal(0)
    return cost_of(outcome.usage, deps.settings.models[outcome.model].price)


def settle(deps: Deps, outcome: Outcome) -> None:
    """Compare, record, meter and count the interaction; never blocks."""
    cost = price_outcome(deps, outcome)
    served = outcome.ask.tier is Tier.STUDENT
    if cost is not None and outcome.status == "ok" and not served:
        deps.teacher_costs.observe(outcome.workload, cost)
    record = _write_record(deps, outcome, cost)
    state = None
    if record.level is not None:
        trial = Trial(
            level=record.level,
            seen=record.seen,
            wrong=not record.draft_agreed,
            propensity=record.propensity,
            floor=record.floor,
        )
        state = deps.promises.observe(record.workload, trial)
    deps.metrics.observe_interaction(record)
    deps.sink.put(record, state)


def _write_record(deps: Deps, outcome: Outcome, cost: Decimal | None) -> Interaction:
    keep = outcome.request.options.store
    body, ask, evidence = outcome.request.body, outcome.ask, outcome.evidence
    served = ask.tier is Tier.STUDENT
    ok = outcome.status == "ok"
    teacher = outcome.teacher_answer if ok else None
    configured = outcome.workload_settings.compare if outcome.workload_settings else None
    shape = shape_of(body)
    comparer = configured or choose_comparer(shape, [] if teacher is None else [teacher])
    draft_agreed = None
    if teacher is not None and outcome.draft is not None:
        draft_agreed = get_comparer(comparer).agrees(teacher, outcome.draft, shape)
    estimate = deps.teacher_costs.estimate(outcome.workload) if served else cost

    def write(answer: Answer | None) -> dict[str, Any] | None:
        if answer is None or not keep:
            return None
        return dict(deps.redactor.json(answer_to_json(answer)))

    return Interaction(
        id=outcome.id,
        created_at=outcome.started_at,
        workload=outcome.workload,
        tenant=outcome.caller.tenant,
        key_name=outcome.caller.key_name,
        train_ok=outcome.caller.train_on and keep,
        stored=keep,
        stream=outcome.request.stream,
        request=deps.redactor.json(body) if keep else None,
        input_text=deps.redactor.text(input_text(body)) if keep else "",
        group="",
        comparer=comparer,
        tier=ask.tier,
        model="student" if served else outcome.model,
        reason=ask.reason,
        status=outcome.status,
        answer=write(outcome.answer if ok else None),
        teacher_answer=write(teacher),
        teacher_model=outcome.model if teacher is not None else None,
        teacher_version=outcome.upstream_model,
        draft=write(outcome.draft),
        release=evidence.release if evidence else None,
        confidence=evidence.confidence if evidence else None,
        threshold=ask.threshold,
        level=ask.level if ok else None,
        propensity=_propensity_of(outcome),
        floor=ask.floor,
        seen=teacher is not None,
        agreed=draft_agreed if served else (True if teacher is not None else None),
        draft_agreed=draft_agreed,
        cost_usd=cost,
        teacher_cost_usd=estimate,
        teacher_cost_estimated=served,
        latency_ms=(time.perf_counter() - outcome.start_s) * 1000,
        overhead_ms=outcome.overhead_ms,
        trace=tuple(_write_step(step.ask) for step in outcome.trace.steps),
        settings_digest=deps.settings.digest,
        attempts=_write_attempts(outcome, cost),
    )


def _propensity_of(outcome: Outcome) -> float:
    """The probability with which the teacher's answer became, or would have become, known."""
    if outcome.audit is not None:
        return outcome.audit.propensity
    if outcome.ask.tier is not Tier.STUDENT:
        return outcome.ask.propensity
    return (1.0 - outcome.ask.propensity) or 1.0


def _write_attempts(outcome: Outcome, cost: Decimal | None) -> tuple[Attempt, ...]:
    last = len(outcome.attempts) - 1
    return tuple(
        Attempt(
            interaction_id=outcome.id,
            n=n,
            tier=Tier.TEACHER,
            model=outcome.model,
            purpose="audit" if outcome.audit else "answer",
            started_at=log.started_at,
            latency_ms=log.latency_ms,
            status=log.status,
            error=log.error,
            usage=outcome.usage if n == last else None,
            cost_usd=cost if n == last else None,
            upstream_model=outcome.upstream_model if n == last else None,
        )
        for n, log in enumerate(outcome.attempts)
    )


def _write_step(ask: Any) -> dict[str, Any]:
    return {
        "tier": str(ask.tier),
        "commit": ask.commit,
        "reason": ask.reason,
        "propensity": ask.propensity,
        "background": ask.background,
    }
