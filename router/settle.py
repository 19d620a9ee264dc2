"""What an interaction was, once it is over: its record, its cost, its metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from policies.compare import choose_comparer
from policies.types import Answer, Tier, Trace
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
    reason: str
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
    """USD of the answer; None where its usage or its price is unknown."""
    return cost_of(outcome.usage, deps.settings.models[outcome.model].price)


def settle(deps: Deps, outcome: Outcome) -> None:
    """Record, meter and count the interaction; never blocks."""
    cost = price_outcome(deps, outcome)
    if cost is not None and outcome.status == "ok":
        deps.teacher_costs.observe(outcome.workload, cost)
    record = _write_record(deps, outcome, cost)
    deps.metrics.observe_interaction(record)
    deps.sink.put(record)


def _write_record(deps: Deps, outcome: Outcome, cost: Decimal | None) -> Interaction:
    keep = outcome.request.options.store
    body = outcome.request.body
    whole = outcome.answer if outcome.status == "ok" else None
    said = deps.redactor.json(answer_to_json(whole)) if whole is not None and keep else None
    text = deps.redactor.text(input_text(body)) if keep else ""
    configured = outcome.workload_settings.compare if outcome.workload_settings else None
    answers = [] if whole is None else [whole]
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
        input_text=text,
        group="",
        comparer=configured or choose_comparer(shape_of(body), answers),
        tier=Tier.TEACHER,
        model=outcome.model,
        reason=outcome.reason,
        status=outcome.status,
        answer=said,
        teacher_answer=said,
        teacher_model=outcome.model,
        teacher_version=outcome.upstream_model,
        seen=whole is not None,
        agreed=True if whole is not None else None,
        cost_usd=cost,
        teacher_cost_usd=cost,
        latency_ms=(time.perf_counter() - outcome.start_s) * 1000,
        overhead_ms=outcome.overhead_ms,
        trace=tuple(_write_step(step.ask) for step in outcome.trace.steps),
        settings_digest=deps.settings.digest,
        attempts=_write_attempts(outcome, cost),
    )


def _write_attempts(outcome: Outcome, cost: Decimal | None) -> tuple[Attempt, ...]:
    last = len(outcome.attempts) - 1
    return tuple(
        Attempt(
            interaction_id=outcome.id,
            n=n,
            tier=Tier.TEACHER,
            model=outcome.model,
            purpose="answer",
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
