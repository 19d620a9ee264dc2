"""One request from top to bottom. Read this first.

caller → workload → policy ⇄ student's draft → teacher or draft → delivery → settle. The policy is
driven to its committing ask; what it wants in the background is done after delivery.
"""

from __future__ import annotations

import logging
import time
import uuid
from dataclasses import replace

from policies.base import Policy
from policies.budget import CHOSEN, OVER_MAX_COST, WITHIN_BUDGET
from policies.promise.guarantee import GUARANTEED
from policies.promise.policy import PROOF
from policies.static import StudentPolicy, TeacherPolicy
from policies.types import Ask, Evidence, Features, Tier, Trace, TraceStep
from router.auth import Caller
from router.delivery import Delivery, deliver_draft, deliver_stream, deliver_whole
from router.deps import Deps
from router.errors import ApiError, BadRequest, NotFound
from router.meter.money import plain_usd
from router.policies_for import build_policy
from router.settle import Outcome, expect_teacher_cost
from router.upstream.model import CallError
from router.wire.openai import ChatRequest, is_cascadable
from router.wire.profile import profile_of
from router.workload import find_workload

_log = logging.getLogger("tutelage.pipeline")

_UNDECIDED = Ask(tier=Tier.TEACHER, commit=True, reason="undecided")


async def run(deps: Deps, request: ChatRequest, caller: Caller) -> Delivery:
    """Answer one request; the delivery must be closed. Raises ApiError, after an interaction for
    which the teacher was asked has been recorded."""
    outcome = await decide(deps, request, caller)
    keep_to_max_cost(deps, outcome)
    if outcome.ask.tier is Tier.STUDENT:
        return await deliver_draft(deps, outcome)
    try:
        deliver = deliver_stream if request.stream else deliver_whole
        return await deliver(deps, outcome)
    except CallError:
        if not outcome.can_fall_back:
            raise
    outcome.fall_back()
    return await deliver_draft(deps, outcome)


async def decide(deps: Deps, request: ChatRequest, caller: Caller) -> Outcome:
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
    if teacher is None or (force is Tier.STUDENT and not deps.drafter.is_ready(release)):
        raise ApiError(
            "No release has a student for this workload yet.",
            status=503,
            code="student_unavailable",
        )
    outcome = Outcome(
        id=f"int_{uuid.uuid4().hex}",
        request=request,
        caller=caller,
        workload=workload,
        workload_settings=settings,
        release=release,
        model=teacher,
        trace=Trace(),
        ask=_UNDECIDED,
        start_s=start_s,
    )
    await _drive(deps, outcome, _choose_policy(deps, outcome, force))
    return outcome


def _choose_policy(deps: Deps, outcome: Outcome, force: Tier | None) -> Policy:
    """The workload's own, unless the caller named a tier."""
    reason = "forced" if outcome.request.options.force is not None else "pinned"
    if force is Tier.TEACHER:
        return TeacherPolicy(reason)
    if force is Tier.STUDENT:
        return StudentPolicy(deps.coin, 0.0, reason)
    return build_policy(
        outcome.workload,
        outcome.workload_settings,
        outcome.release,
        deps.promises,
        deps.coin,
        deps.budgets,
        lambda: expect_teacher_cost(deps, outcome),
        deps.proven.get(outcome.workload),
    )


async def _drive(deps: Deps, outcome: Outcome, policy: Policy) -> None:
    """Perform asks up to the committing one; note a background ask behind it."""
    features = Features(
        workload=outcome.workload,
        stream=outcome.request.stream,
        student_ready=deps.drafter.is_ready(outcome.release),
        cascadable=_can_be_drafted(outcome),
    )
    flow = policy.flow(features)
    ask = next(flow)
    steps = []
    while not ask.commit:
        outcome.evidence = await _draft(deps, outcome)
        steps.append(TraceStep(ask=ask, evidence=outcome.evidence))
        ask = flow.send(outcome.evidence)
    outcome.ask = ask
    steps.append(TraceStep(ask=ask))
    for background in flow:
        outcome.audit = background
        steps.append(TraceStep(ask=background))
    outcome.trace = Trace(steps=tuple(steps))


def _can_be_drafted(outcome: Outcome) -> bool:
    """A draft could stand for the answer, in a form and under instructions that were learned."""
    body, release = outcome.request.body, outcome.release
    return is_cascadable(body) and (release is None or release.knows(profile_of(body)))


async def _draft(deps: Deps, outcome: Outcome) -> Evidence:
    """The student's draft; whatever goes wrong there, the teacher can still answer."""
    release = outcome.release
    try:
        outcome.draft, evidence = await deps.drafter.draft(outcome.request.body, release)
    except Exception as error:  # noqa: BLE001 - a broken student must never break an answer
        _log.warning("The student of %s failed: %s", outcome.workload, type(error).__name__)
        return Evidence(available=False, release=None if release is None else release.digest)
    return evidence


def keep_to_max_cost(deps: Deps, outcome: Outcome) -> None:
    """Ask the teacher nothing that is likely to cost more than the client allows.

    A draft that the policy serves is free and still goes out; a draft that it doesn't serve stays
    unserved, since a promise outranks the limit; under a budget, which promises nothing about one
    answer, it is served. An unknown cost is no reason to refuse. Raises BadRequest
    ``max_cost_exceeded``; nothing is recorded then, since nothing was answered.
    """
    limit = outcome.request.options.max_cost_usd
    expected = None if limit is None else expect_teacher_cost(deps, outcome)
    if limit is None or expected is None or expected <= limit:
        return
    if outcome.ask.level is not None and deps.budgets.keeps(outcome.workload):
        if outcome.ask.tier is Tier.TEACHER:
            deps.budgets.release(outcome.workload)
        if outcome.evidence is not None and outcome.ask.reason in (*CHOSEN, WITHIN_BUDGET):
            outcome.keep_draft(OVER_MAX_COST)
            return
    # A guaranteed draft needs the chance of a check, which the limit would rule out.
    if outcome.ask.tier is not Tier.STUDENT or outcome.ask.reason == GUARANTEED:
        if outcome.ask.reason == PROOF:
            deps.promises.release(outcome.workload, outcome.ask.propensity)
        raise BadRequest(
            f"The teacher's answer is estimated at {plain_usd(expected)} USD, more than the "
            f"max_cost_usd of {plain_usd(limit)}: raise it or leave it out.",
            param="tutelage.max_cost_usd",
            code="max_cost_exceeded",
        )
    outcome.drop_audit()
    # The coin could not have fallen for the teacher, so this draft is evidence for nothing.
    outcome.ask = replace(outcome.ask, level=None, propensity=1.0, floor=1.0)
