"""What an interaction was, once it is over: its record, its cost, its metrics."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from policies.compare import get_comparer
from policies.promise.accuracy import checks_draft
from policies.promise.policy import PROOF_FAILED, TEACHER_FAILED
from policies.purse import Payment
from policies.types import Answer, InSlice, Tier, Trial
from router.billing import (
    Bill,
    bill_tries,
    count_tokens_at_most,
    hold_for,
    sum_costs,
    write_attempt,
)
from router.deps import Deps
from router.meter.prices import Price, Usage, cost_of
from router.outcome import UNDECIDED, Billed, Outcome, Tries
from router.record.model import Attempt, Interaction, PromiseState, Purpose
from router.record.rows import teacher_failed
from router.record.subject import hide_user
from router.rungs import write_trace
from router.upstream.model import AttemptLog
from router.wire.openai import (
    answer_to_json,
    count_prompt_chars,
    input_text,
    shape_of,
)

_CHARS_PER_TOKEN = 4
_UNENDED = "the gateway ended before it was known"


def price_outcome(deps: Deps, outcome: Outcome) -> Decimal | None:
    """USD of the interaction, None where unknown, or not known before its audit has come: the sum
    of the draft, also of one that wasn't served, and of the teacher's answer, each with every try
    that an upstream may bill."""
    by_teacher = outcome.ask.tier is Tier.TEACHER and outcome.ask is not UNDECIDED
    waited_for = by_teacher or outcome.audit is not None
    # One that failed without a try, since the upstream is left alone, cost nothing.
    if waited_for and not outcome.attempts and outcome.status != "error":
        return None
    billed = _bill(deps, outcome)
    return sum_costs([bill.cost_usd for bill in (*billed.drafts, *billed.calls)])


def price_draft(deps: Deps, outcome: Outcome) -> Decimal | None:
    """USD of all drafts' calls; nothing where the student runs in process."""
    return sum_costs([bill.cost_usd for bill in _bill(deps, outcome).drafts])


def _bill(deps: Deps, outcome: Outcome) -> Billed:
    """Every try of models behind servers that drafted, then of the teacher and of who stood in for
    it; worked out again only where more is known than the last time."""
    tries = Tries(outcome.draft_calls, outcome.attempts, outcome.usage)
    known = outcome.billed
    if known is None or known.tries != tries:
        drafts = tuple(
            bill
            for one in tries.drafts
            for bill in _bill_calls(deps, outcome, one.attempts, one.usage, one.model)
        )
        calls = _bill_calls(deps, outcome, tries.calls, tries.usage, outcome.model)
        known = outcome.billed = Billed(tries, drafts, calls)
    return known


def _bill_calls(
    deps: Deps, outcome: Outcome, tries: Sequence[AttemptLog], usage: Usage | None, model: str
) -> tuple[Bill, ...]:
    if not tries:
        return ()
    body, models = outcome.request.body, deps.settings.models

    def hold(price: Price | None) -> Decimal | None:
        return hold_for(count_tokens_at_most(body), count_prompt_chars(body), price)

    prices = [models[log.model or model].price for log in tries]
    return bill_tries(tries, usage, prices, hold)


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
        unended = AttemptLog(
            started_at=time.time(), latency_ms=0.0, error=_UNENDED, billing="unknown"
        )
        outcome.attempts = (unended,)
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
    if outcome.status == "ok" and outcome.teacher_answer is not None:
        answer_usd = _bill(deps, outcome).calls[-1].cost_usd
        if answer_usd is not None:
            deps.teacher_costs.observe(outcome.workload, answer_usd)
    state = None
    if record.level is not None:
        if _counts(deps, outcome, record):
            state = _count_trial(deps, record, record.level, outcome.ask.slices)
        else:
            record = replace(record, level=None)
    deps.recall.observe(record)
    if deps.rungs is not None:
        deps.rungs.observe(record)
    deps.staging.observe(record, outcome)
    deps.metrics.observe_interaction(record)
    deps.sink.put(record, state)
    if deps.door is not None:
        deps.door.settle(outcome.entry, record)
    if deps.tracer is not None:
        deps.tracer.export(outcome, record, deps.targets)


def _counts(deps: Deps, outcome: Outcome, record: Interaction) -> bool:
    """Whether the interaction counts for its workload's promise or budget: not where the workload
    has had another one since it began, since a level means something only beside the one that it
    was found for."""
    configured = outcome.workload_settings
    if configured is None:
        return False
    if configured.effective_policy == "budget":
        return deps.budgets.keeps(record.workload)
    return deps.promises.keeps(record.workload, configured.promise, configured.slices)


def _count_trial(
    deps: Deps, record: Interaction, level: int, slices: tuple[InSlice, ...]
) -> PromiseState | None:
    """Let it count; returns a snapshot of that, None where it is counted once it is stored."""
    trial = Trial(
        level=level,
        seen=record.seen,
        wrong=not record.draft_agreed,
        propensity=record.propensity,
        floor=record.floor,
        failed=teacher_failed(record.tier, record.reason, record.seen),
        served=record.tier is not Tier.TEACHER,
        confidence=record.confidence,
        nearest=record.evidence.get("nearest"),
        release=record.release,
        teacher_version=record.teacher_version,
        slices=slices,
    )
    if not deps.budgets.keeps(record.workload):
        return deps.promises.observe(record.workload, trial)
    payment = Payment(trial=trial, cost_usd=record.cost_usd, at_s=record.created_at)
    return deps.budgets.observe(record.workload, payment)


def _write_record(deps: Deps, outcome: Outcome) -> Interaction:
    keep, cost = outcome.request.options.store, price_outcome(deps, outcome)
    body, ask, evidence = outcome.request.body, outcome.ask, outcome.evidence
    served, ok = ask.tier is not Tier.TEACHER, outcome.status == "ok"
    teacher = outcome.teacher_answer if ok else None
    shape = shape_of(body)
    comparer = outcome.name_comparer(shape, teacher)
    draft_agreed = None
    if teacher is not None and outcome.draft is not None:
        draft_agreed = get_comparer(comparer).agrees(teacher, outcome.draft, shape)
    teacher_usd, estimated = _find_teacher_cost(deps, outcome, teacher)

    def write(answer: Answer | None) -> dict[str, Any] | None:
        if answer is None or not keep:
            return None
        return dict(deps.redactor.json(answer_to_json(answer)))

    written = write(outcome.answer if ok else None)
    return Interaction(
        id=outcome.id,
        created_at=outcome.started_at,
        workload=outcome.workload,
        tenant=outcome.caller.tenant,
        key_name=outcome.caller.key_name,
        train_ok=outcome.caller.train_on and keep and outcome.request.learnable,
        stored=keep,
        stream=outcome.request.stream,
        request=hide_user(deps.redactor.json(body), body, outcome.caller.tenant) if keep else None,
        input_text=deps.redactor.text(input_text(body)) if keep else "",
        group="",
        comparer=comparer,
        tier=ask.tier,
        model=outcome.speaker,
        reason=ask.reason,
        status=outcome.status,
        answer=written,
        teacher_answer=written if teacher is outcome.answer else write(teacher),
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
        teacher_cost_usd=teacher_usd,
        teacher_cost_estimated=estimated,
        latency_ms=outcome.elapsed_s * 1000,
        overhead_ms=outcome.overhead_ms,
        first_token_ms=outcome.first_token_ms,
        trace=write_trace(deps, outcome, comparer, teacher if keep else None),
        settings_digest=deps.settings.digest,
        attempts=_write_attempts(deps, outcome),
    )


def _find_teacher_cost(
    deps: Deps, outcome: Outcome, teacher: Answer | None
) -> tuple[Decimal | None, bool]:
    """USD that the teacher's answer costs or would have cost, and whether that is an estimate."""
    if outcome.status == "error":
        return None, False
    bills = _bill(deps, outcome).calls
    cost = sum_costs([bill.cost_usd for bill in bills]) if bills else None
    unasked = outcome.ask.tier is not Tier.TEACHER and (teacher is None or cost is None)
    if unasked or not outcome.is_teachers:
        return deps.teacher_costs.estimate(outcome.workload), True
    return cost, False


def _propensity_of(outcome: Outcome) -> float:
    """The probability with which the teacher's answer became, or would have become, known."""
    if outcome.audit is not None:
        return outcome.audit.propensity
    if outcome.ask.reason == TEACHER_FAILED:
        return 1.0  # the teacher was asked outright
    if outcome.ask.tier is Tier.TEACHER:
        return outcome.ask.propensity
    # Not 1 − propensity: rounded, that can fall short of the floor that bounds the bets.
    # With slices the largest share counts.
    return max([outcome.ask.floor, *(one.floor for one in outcome.ask.slices)])


def _write_attempts(deps: Deps, outcome: Outcome) -> tuple[Attempt, ...]:
    """The calls for drafts, then the teacher's."""
    _, drafted, asked = _bill(deps, outcome)
    drafts = [(one, log) for one in outcome.draft_calls for log in one.attempts]
    tries = [
        *(
            (Tier.STUDENT, one.model, one.version, log, bill)
            for (one, log), bill in zip(drafts, drafted, strict=True)
        ),
        *(
            (Tier.TEACHER, log.model or outcome.model, outcome.upstream_model, log, bill)
            for log, bill in zip(outcome.attempts, asked, strict=True)
        ),
    ]
    reason = outcome.ask.reason
    by_chance = reason == PROOF_FAILED or checks_draft(reason, outcome.ask.propensity)
    purpose: Purpose = "audit" if outcome.audit else "proof" if by_chance else "answer"
    return tuple(
        write_attempt(
            log,
            bill,
            interaction_id=outcome.id,
            n=n,
            tier=tier,
            model=model,
            purpose="draft" if tier is Tier.STUDENT else purpose,
            version=version,
        )
        for n, (tier, model, version, log, bill) in enumerate(tries)
    )
