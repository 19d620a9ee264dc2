"""One request from top to bottom. Read this first.

caller → workload → policy ⇄ drafts, recalled or a student's → teacher or draft → delivery → settle.
The policy is driven to its committing ask; what it wants in the background is done after delivery.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace

from policies.base import Policy
from policies.budget import CHOSEN, OVER_MAX_COST, WITHIN_BUDGET
from policies.cascade import RECALL, STUDENT, Ladder, Rung
from policies.promise.batch import Proven
from policies.promise.drift import Alarm
from policies.promise.guarantee import GUARANTEED
from policies.promise.policy import PROOF, TEACHER_FAILED
from policies.static import StudentPolicy, TeacherPolicy
from policies.types import Answer, Ask, Evidence, Features, Tier, Trace, TraceStep
from router.auth import Caller, check_state_is_open
from router.deciding.policies_for import Climb, build_policy
from router.deciding.repeat import ask_again_later
from router.deciding.slices import find_slices
from router.delivery import (
    Delivery,
    deliver_draft,
    deliver_stream,
    deliver_whole,
    record_failure,
)
from router.deps import Deps
from router.errors import ApiError, BadRequest, NotFound, TutelageError
from router.features import describe_request
from router.limits.door import Entry
from router.meter.money import plain_usd
from router.outcome import UNDECIDED, DraftCalls, Outcome
from router.rungs import draft_by_rung, find_rungs, name_stand_in
from router.scopes import check_model, check_workload
from router.settings.model import STUDENT_KEY
from router.settings.slices import SliceSettings
from router.settle import expect_teacher_cost, settle
from router.upstream.model import CallError, UpstreamTarget
from router.verdicts import ask_for_verdict
from router.wire.calls import write_call
from router.wire.openai import ChatRequest, is_cascadable
from router.wire.profile import profile_of
from router.wire.responses.incoming import goes_on
from router.workload import find_workload, name_workload

_log = logging.getLogger("tutelage.pipeline")

_ids = random.Random(secrets.randbits(256))
"""Names of interactions are unique, not secret; asking the system for each costs a switch of
threads."""


_STAND_IN = Ask(tier=Tier.STUDENT, commit=False, reason=TEACHER_FAILED)


async def run(deps: Deps, request: ChatRequest, caller: Caller) -> Delivery:
    """Answer one request; the delivery must be closed. Raises ApiError, after an interaction for
    which the teacher was asked has been recorded."""
    entry = Entry()
    if deps.door is not None:
        request, entry = await deps.door.enter(deps.settings, request, caller)
    outcome: Outcome | None = None
    try:
        outcome = begin(deps, request, caller)
        outcome.entry = entry
        await _drive(deps, outcome, _choose_policy(deps, outcome))
        keep_to_max_cost(deps, outcome)
    except BaseException as error:
        if outcome is not None and outcome.draft_calls:
            _record_drafts(deps, outcome, error)
        elif deps.door is not None:
            deps.door.settle(entry, None)
        raise
    delivery = await _answer(deps, outcome)
    more = {**entry.headers, **ask_for_verdict(outcome)}
    return replace(delivery, headers={**delivery.headers, **more}) if more else delivery


async def _answer(deps: Deps, outcome: Outcome) -> Delivery:
    """Deliver what was decided, or what stands in for it where that fails."""
    if outcome.ask.tier is not Tier.TEACHER:
        return await deliver_draft(deps, outcome)
    try:
        deliver = deliver_stream if outcome.request.stream else deliver_whole
        return ask_again_later(deps, outcome, await deliver(deps, outcome))
    except CallError as error:
        if outcome.can_fall_back:
            outcome.fall_back()
        elif outcome.may_draft_after(error):
            await _draft_after(deps, outcome, error)
        else:
            raise
    return await deliver_draft(deps, outcome)


async def _draft_after(deps: Deps, outcome: Outcome, error: CallError) -> None:
    """Have a draft stand in for a teacher that failed. Raises the failure, recorded, where there is
    no draft."""
    try:
        features = _describe(deps, outcome)
        if outcome.draft is None and features.student_ready and features.cascadable:
            outcome.draft, outcome.evidence = await _ask_for_draft(deps, outcome, _STAND_IN)
            outcome.ask = name_stand_in(outcome, outcome.ask)
    except BaseException:
        outcome.status = "broken"  # the client left
        settle(deps, outcome)
        raise
    if outcome.draft is None:
        record_failure(deps, outcome, error)
        raise error
    outcome.fall_back(reason=TEACHER_FAILED)


def _record_drafts(deps: Deps, outcome: Outcome, error: BaseException) -> None:
    """Nothing is answered after all, and what was asked of servers is to be paid: the client left
    while they drafted, or what the teacher is likely to cost was refused afterwards."""
    outcome.status = "error" if isinstance(error, ApiError) else "broken"
    outcome.ask, outcome.audit = UNDECIDED, None  # evidence for nothing
    settle(deps, outcome)


async def decide(deps: Deps, request: ChatRequest, caller: Caller) -> Outcome:
    """Drive the policy to its committing ask, drafting on the way; nothing is recorded."""
    outcome = begin(deps, request, caller)
    await _drive(deps, outcome, _choose_policy(deps, outcome))
    return outcome


def begin(deps: Deps, request: ChatRequest, caller: Caller) -> Outcome:
    """The interaction before anybody was asked. Raises ApiError for a request that nobody may, or
    can, answer."""
    start_s = time.perf_counter()
    resolved = deps.settings.resolve_model(request.model)
    if resolved is None:
        raise NotFound(
            f"The model '{request.model}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )
    check_model(caller.scopes, request.model)
    if goes_on(request.native):
        check_state_is_open(deps.settings)
    workload, settings = find_workload(
        deps.settings, request.body, name_workload(request), caller.tenant
    )
    check_workload(caller.scopes, workload, caller.tenant)
    interaction_id = f"int_{_ids.getrandbits(128):032x}"
    release = deps.releases.choose(workload, interaction_id)
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
    _check_speakable(deps.targets[teacher], request)
    return Outcome(
        id=interaction_id,
        request=request,
        caller=caller,
        workload=workload,
        workload_settings=settings,
        release=release,
        model=teacher,
        trace=Trace(),
        ask=UNDECIDED,
        start_s=start_s,
        force=force,
    )


def _check_speakable(target: UpstreamTarget, request: ChatRequest) -> None:
    """Raises BadRequest where the teacher's dialect can't say the request, before money and
    chance have been spent on it."""
    if target.dialect != "openai":
        write_call(
            target.dialect, request.body, request.native, model=target.model, stream=request.stream
        )


def _choose_policy(deps: Deps, outcome: Outcome) -> Policy:
    """The workload's own, unless the caller named a tier or only the teacher can answer.

    A student that was named may answer where the request merely asks for its answer to be kept.
    """
    pinned, force = outcome.request.pinned, outcome.force
    if pinned is not None and not (force is Tier.STUDENT and outcome.request.learnable):
        return TeacherPolicy(pinned)
    reason = "forced" if outcome.request.options.force is not None else "pinned"
    if force is Tier.TEACHER:
        return TeacherPolicy(reason)
    if force is Tier.STUDENT:
        return StudentPolicy(deps.coin, 0.0, reason)
    inside = find_slices(outcome.workload_settings, outcome.request.body, outcome.caller)
    recall = outcome.workload_settings and outcome.workload_settings.effective_recall
    alarm = deps.promises.last_change(outcome.workload)
    outcome.rungs = _find_rungs(deps, outcome, alarm)
    policy = build_policy(
        outcome.workload,
        outcome.workload_settings,
        outcome.release,
        deps.promises,
        deps.coin,
        deps.budgets,
        lambda: expect_teacher_cost(deps, outcome),
        _find_proven(deps, outcome.workload, inside),
        inside,
        deps.plugins,
        _find_climb(deps, outcome) if recall or outcome.rungs else None,
    )
    if recall:
        deps.recall.memory(outcome.workload, recall)
        deps.recall.heed(outcome.workload, alarm)
        outcome.question = deps.recall.identify(
            outcome.request.body, outcome.model, outcome.caller.tenant
        )
    return policy


def _find_climb(deps: Deps, outcome: Outcome) -> Climb:
    """Who may draft, free ones first."""
    ladder = deps.ladders.setdefault(outcome.workload, Ladder())
    rungs = (RECALL, STUDENT, *outcome.rungs)
    return Climb(rungs=rungs, ladder=ladder, skipped=outcome.skipped)


def _find_rungs(deps: Deps, outcome: Outcome, alarm: Alarm | None) -> Sequence[Rung]:
    """Further models that may draft about a request for which a draft could stand."""
    settings = outcome.workload_settings
    if deps.rungs is None or settings is None or not settings.effective_rungs:
        return ()
    if not is_cascadable(outcome.request.body):
        return ()
    deps.rungs.heed(outcome.workload, alarm)
    return find_rungs(deps, outcome, expect_teacher_cost(deps, outcome))


def _find_proven(deps: Deps, workload: str, inside: Sequence[SliceSettings]) -> list[Proven]:
    """What a batch proved of the workload and of the slices that the request belongs to."""
    proven = deps.proven.get(workload, {})
    whole = proven.get("")
    return [] if whole is None else [whole, *(proven[one.name] for one in inside)]


async def _drive(deps: Deps, outcome: Outcome, policy: Policy) -> None:
    """Perform asks up to the committing one; note a background ask behind it."""
    # Whoever always asks the teacher doesn't look at the request.
    looks = not isinstance(policy, TeacherPolicy)
    flow = policy.flow(_describe(deps, outcome) if looks else Features(workload=outcome.workload))
    ask = next(flow)
    steps = []
    drafts = outcome.drafts
    while not ask.commit:
        answer, evidence = await _ask_for_draft(deps, outcome, ask)
        drafts[ask.rung] = ask.tier, answer, evidence
        steps.append(TraceStep(ask=ask, evidence=evidence))
        ask = flow.send(evidence)
    if ask.rung in drafts:
        outcome.drafted_by, outcome.draft, outcome.evidence = drafts[ask.rung]
        if outcome.draft is not None and any(rung.name == ask.rung for rung in outcome.rungs):
            outcome.drafter = str(ask.rung)
    outcome.ask = ask
    steps.append(TraceStep(ask=ask))
    for background in flow:
        outcome.audit = background
        steps.append(TraceStep(ask=background))
    outcome.trace = Trace(steps=tuple(steps))


def _describe(deps: Deps, outcome: Outcome) -> Features:
    """A student drafts in a form and under instructions that its release was learned from; an
    answer is recalled only where both are those that it was given under."""
    body, release = outcome.request.body, outcome.release
    known = release is None or release.knows(profile_of(body))
    recall_ready = deps.recall.is_ready(outcome.workload, outcome.question)
    return describe_request(
        body,
        workload=outcome.workload,
        student_ready=known and deps.drafter.is_ready(release),
        recall_ready=recall_ready,
        cascadable=is_cascadable(body) and (known or recall_ready or bool(outcome.rungs)),
    )


async def _ask_for_draft(deps: Deps, outcome: Outcome, ask: Ask) -> tuple[Answer | None, Evidence]:
    """What a rung drafts, noted where the request is traced."""
    if outcome.span is None:
        return await _draft(deps, outcome, ask)
    began_at = time.time()
    answer, evidence = await _draft(deps, outcome, ask)
    outcome.span.note_draft(ask, evidence, began_at, time.time())
    return answer, evidence


async def _draft(deps: Deps, outcome: Outcome, ask: Ask) -> tuple[Answer | None, Evidence]:
    """What a rung drafts; whatever goes wrong there, the teacher can still answer."""
    if ask.tier is Tier.RECALL:
        question = outcome.question
        found = None if question is None else deps.recall.recall(outcome.workload, question)
        return (None, Evidence(available=False)) if found is None else found
    if any(rung.name == ask.rung for rung in outcome.rungs):
        return await draft_by_rung(deps, outcome, str(ask.rung))
    release = outcome.release
    began_s = time.perf_counter()
    try:
        made = await deps.drafter.draft(outcome.request.body, release)
    except Exception as error:  # noqa: BLE001 - a broken student must never break an answer
        if isinstance(error, CallError):
            outcome.note_draft_calls(DraftCalls(model=STUDENT_KEY, attempts=error.attempts))
        said = str(error) if isinstance(error, TutelageError) else type(error).__name__
        _log.warning("The student of %s failed: %s", outcome.workload, said)
        digest = None if release is None else release.digest
        return None, Evidence(available=False, release=digest)
    finally:
        outcome.draft_ms = 1000 * (time.perf_counter() - began_s)
    if made.attempts:
        calls = DraftCalls(
            model=STUDENT_KEY,
            attempts=made.attempts,
            usage=made.usage,
            version=made.upstream_model,
        )
        outcome.note_draft_calls(calls)
    return made.answer, made.evidence


def keep_to_max_cost(deps: Deps, outcome: Outcome) -> None:
    """Ask the teacher nothing that is likely to cost more than the client allows.

    A draft that the policy serves is made already and still goes out; one that it doesn't serve
    stays unserved, since a promise outranks the limit; under a budget, which promises nothing about
    one answer, it is served. An unknown cost is no reason to refuse. Raises BadRequest
    ``max_cost_exceeded``; then nothing was answered, and only what drafts cost is recorded.
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
    if outcome.ask.tier is Tier.TEACHER or outcome.ask.reason == GUARANTEED:
        if outcome.ask.reason == PROOF:
            deps.promises.release(outcome.workload, outcome.ask)
        raise BadRequest(
            f"The teacher's answer is estimated at {plain_usd(expected)} USD, more than the "
            f"max_cost_usd of {plain_usd(limit)}: raise it or leave it out.",
            param="tutelage.max_cost_usd",
            code="max_cost_exceeded",
        )
    outcome.drop_audit()
    # The coin could not have fallen for the teacher, so this draft is evidence for nothing.
    outcome.ask = replace(outcome.ask, level=None, propensity=1.0, floor=1.0)
