"""What an interaction was, once it is over: its record, its cost, its metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from policies.compare import choose_comparer, get_comparer
from policies.promise.policy import PROOF, PROOF_FAILED
from policies.purse import Payment
from policies.types import Answer, Ask, Evidence, Shape, Tier, Trace, TraceStep, Trial
from router.auth import Caller
from router.billing import Bill, bill_tries, hold_for, sum_costs
from router.deps import Deps
from router.meter.prices import Usage, cost_of
from router.record.model import Attempt, Interaction, Status, write_ask
from router.record.rows import teacher_failed
from router.release import Release
from router.settings.model import WorkloadSettings
from router.upstream.model import AttemptLog
from router.wire.openai import (
    ChatRequest,
    answer_to_json,
    count_prompt_chars,
    input_text,
    shape_of,
)

_CHARS_PER_TOKEN = 4
_UNENDED = "the gateway ended before it was known"


@dataclass(kw_only=True)
class Outcome:
    """An interaction while it runs; filled in by the pipeline, read once by ``settle``.

    ``release``: the one in force for its workload when it began; ``end_s``: when its answer had
    been delivered, on the clock of ``start_s``; None until then.
    """

    id: str
    request: ChatRequest
    caller: Caller
    workload: str
    workload_settings: WorkloadSettings | None
    release: Release | None
    model: str
    trace: Trace
    ask: Ask
    draft: Answer | None = None
    evidence: Evidence | None = None
    audit: Ask | None = None
    teacher_answer: Answer | None = None
    started_at: float = field(default_factory=time.time)
    start_s: float = field(default_factory=time.perf_counter)
    end_s: float | None = None
    upstream_s: float = 0.0
    status: Status = "ok"
    answer: Answer | None = None
    usage: Usage | None = None
    upstream_model: str | None = None
    attempts: Sequence[AttemptLog] = ()
    noted: Interaction | None = None
    noted_status: Status | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds until the answer was delivered, or until now."""
        return (time.perf_counter() if self.end_s is None else self.end_s) - self.start_s

    @property
    def overhead_ms(self) -> float:
        """Time so far that wasn't spent waiting for upstreams."""
        return max(0.0, self.elapsed_s - self.upstream_s) * 1000

    @property
    def can_fall_back(self) -> bool:
        """The teacher is asked by chance only: the draft is fit to be served if it can't answer."""
        return self.ask.reason == PROOF and self.draft is not None

    def fall_back(self) -> None:
        """Serve the draft instead of the teacher's answer that didn't come."""
        self.ask = replace(self.ask, tier=Tier.STUDENT, reason=PROOF_FAILED)
        self.trace = Trace(steps=(*self.trace.steps, TraceStep(ask=self.ask)))

    def keep_draft(self, reason: str) -> None:
        """Serve the draft, for a reason that leaves it no chance of a check."""
        self.ask = replace(self.ask, tier=Tier.STUDENT, reason=reason, propensity=1.0, floor=1.0)
        self.trace = Trace(steps=(*self.trace.steps[:-1], TraceStep(ask=self.ask)))

    def stop_clock(self) -> None:
        """The answer is delivered: what follows, such as an audit, makes nobody wait."""
        self.end_s = time.perf_counter()

    def drop_audit(self) -> None:
        """Nothing is asked in the background after all."""
        self.audit = None
        steps = tuple(step for step in self.trace.steps if not step.ask.background)
        self.trace = replace(self.trace, steps=steps)


def price_outcome(deps: Deps, outcome: Outcome) -> Decimal | None:
    """USD of the interaction with all its attempts; None where one of them is unknown, or not
    known before its audit has come. A draft alone costs nothing."""
    if not outcome.attempts and outcome.audit is not None:
        return None
    return sum_costs([bill.cost_usd for bill in _bill(deps, outcome)])


def _bill(deps: Deps, outcome: Outcome) -> tuple[Bill, ...]:
    body, price = outcome.request.body, deps.settings.models[outcome.model].price

    def hold() -> Decimal | None:
        return hold_for(body, count_prompt_chars(body), price)

    return bill_tries(outcome.attempts, outcome.usage, price, hold)


def expect_teacher_cost(deps: Deps, outcome: Outcome) -> Decimal | None:
    """USD that asking the teacher about this request is likely to cost; None where unknown.

    The mean of what it cost in this workload so far, but at least what the model's price makes of
    the prompt alone, at four characters a token.
    """
    tokens = count_prompt_chars(outcome.request.body) // _CHARS_PER_TOKEN
    prompt = Usage(prompt_tokens=tokens, completion_tokens=0)
    price = deps.settings.models[outcome.model].price
    known = [cost_of(prompt, price), deps.teacher_costs.estimate(outcome.workload)]
    return max((cost for cost in known if cost is not None), default=None)


async def note(deps: Deps, outcome: Outcome) -> None:
    """Put the interaction into the journal as it stands; called before an answer's last byte.

    An audit that is still to be asked counts as one of unknown cost: should the gateway be killed,
    nobody will know whether it was.
    """
    pending = outcome.audit is not None and not outcome.attempts
    if pending:
        outcome.attempts = (AttemptLog(started_at=time.time(), latency_ms=0.0, error=_UNENDED),)
    record = _write_record(deps, outcome)
    if pending:
        outcome.attempts = ()
    else:
        outcome.noted, outcome.noted_status = record, outcome.status
    await deps.sink.note(record, final=not pending)


def settle(deps: Deps, outcome: Outcome) -> None:
    """Compare, record, meter and count the interaction; never blocks."""
    record = outcome.noted
    if record is None or outcome.noted_status != outcome.status:
        record = _write_record(deps, outcome)
    cost, served = record.cost_usd, outcome.ask.tier is Tier.STUDENT
    # An audit's cost is the teacher's alone: a draft is free.
    asked = not served or outcome.teacher_answer is not None
    if cost is not None and outcome.status == "ok" and asked:
        deps.teacher_costs.observe(outcome.workload, cost)
    state = None
    if record.level is not None:
        trial = Trial(
            level=record.level,
            seen=record.seen,
            wrong=not record.draft_agreed,
            propensity=record.propensity,
            floor=record.floor,
            failed=teacher_failed(record.tier, record.reason, record.seen),
            served=served,
            confidence=record.confidence,
            nearest=record.evidence.get("nearest"),
            release=record.release,
            teacher_version=record.teacher_version,
        )
        if deps.budgets.keeps(record.workload):
            payment = Payment(trial=trial, cost_usd=record.cost_usd, at_s=record.created_at)
            state = deps.budgets.observe(record.workload, payment)
        else:
            state = deps.promises.observe(record.workload, trial)
    deps.metrics.observe_interaction(record)
    deps.sink.put(record, state)


def _write_record(deps: Deps, outcome: Outcome) -> Interaction:
    keep, cost = outcome.request.options.store, price_outcome(deps, outcome)
    body, ask, evidence = outcome.request.body, outcome.ask, outcome.evidence
    served = ask.tier is Tier.STUDENT
    ok = outcome.status == "ok"
    teacher = outcome.teacher_answer if ok else None
    shape = shape_of(body)
    comparer = _name_comparer(outcome, shape, teacher)
    draft_agreed = None
    if teacher is not None and outcome.draft is not None:
        draft_agreed = get_comparer(comparer).agrees(teacher, outcome.draft, shape)
    estimated = served and (teacher is None or cost is None)
    estimate = _teacher_cost(deps, outcome, cost, estimated)

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
        evidence=evidence.signals if evidence else {},
        threshold=ask.threshold,
        level=ask.level if ok or not served or ask.reason == PROOF_FAILED else None,
        propensity=_propensity_of(outcome),
        floor=ask.floor,
        seen=teacher is not None,
        agreed=draft_agreed if served else (True if teacher is not None else None),
        draft_agreed=draft_agreed,
        cost_usd=cost,
        teacher_cost_usd=estimate,
        teacher_cost_estimated=estimated,
        latency_ms=outcome.elapsed_s * 1000,
        overhead_ms=outcome.overhead_ms,
        trace=tuple(write_ask(step.ask) for step in outcome.trace.steps),
        settings_digest=deps.settings.digest,
        attempts=_write_attempts(deps, outcome),
    )


def _teacher_cost(
    deps: Deps, outcome: Outcome, cost: Decimal | None, estimated: bool
) -> Decimal | None:
    """What the teacher's answer cost or would have; None where it was asked and gave none: a
    refusal costs nothing, which isn't what an answer costs."""
    if estimated:
        return deps.teacher_costs.estimate(outcome.workload)
    return None if outcome.status == "error" else cost


def _name_comparer(outcome: Outcome, shape: Shape, teacher: Answer | None) -> str:
    """The configured one, else that of the release in force, which the workload's answers chose
    together: judged by each answer alone, a single long one would change what agreement means."""
    if outcome.workload_settings is not None and outcome.workload_settings.compare is not None:
        return outcome.workload_settings.compare
    if outcome.release is not None:
        return outcome.release.comparer
    return choose_comparer(shape, [] if teacher is None else [teacher])


def _propensity_of(outcome: Outcome) -> float:
    """The probability with which the teacher's answer became, or would have become, known."""
    if outcome.audit is not None:
        return outcome.audit.propensity
    if outcome.ask.tier is not Tier.STUDENT:
        return outcome.ask.propensity
    # Not 1 − propensity: rounded, that can fall short of the floor that bounds the bets.
    return outcome.ask.floor


def _write_attempts(deps: Deps, outcome: Outcome) -> tuple[Attempt, ...]:
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
            cost_usd=bill.cost_usd,
            upstream_model=outcome.upstream_model if n == last else None,
            basis=bill.basis,
            rates=None if bill.rates is None else bill.rates.to_json(),
            held_usd=bill.held_usd,
        )
        for n, (log, bill) in enumerate(zip(outcome.attempts, _bill(deps, outcome), strict=True))
    )
