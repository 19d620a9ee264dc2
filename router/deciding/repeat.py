"""The teacher asked the same again on purpose: how far does it agree with itself?

A promise above that can't be kept by a student that answers everything (see
``policies.promise.outlook``). Where traffic repeats no question, a few are asked twice: drawn by
chance among those that the teacher answered under a promise, after the answer was delivered, up to
``audit.repeats`` per workload. Each is an interaction of its own, with the reason ``repeat``: its
cost counts, nothing is learned from it, and it is evidence for no account.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import replace

from policies.types import Ask, Tier, Trace, TraceStep
from router.delivery import Delivery, read_reply
from router.deps import Deps
from router.outcome import Outcome
from router.record.redact import is_redacted
from router.settle import settle
from router.upstream.model import AttemptLog, CallError
from router.wire.openai import input_text, is_cascadable
from router.wire.requests import MAX_INPUT_CHARS

REPEAT = "repeat"
"""The same request again, to measure the teacher's agreement with itself."""

SHARE = 0.1
"""Of what the teacher answers under a promise, so much is asked again until there is enough."""

_log = logging.getLogger("tutelage.repeat")


def ask_again_later(deps: Deps, outcome: Outcome, delivery: Delivery) -> Delivery:
    """The same delivery; once it is settled, the teacher may be asked the same again.

    A stream is passed on as it is: its answer belongs to its client until the end.
    """
    finish = delivery.settle
    if finish is None or not _may_repeat(deps, outcome) or deps.coin() >= SHARE:
        return delivery

    def settle_and_repeat() -> None:
        finish()
        deps.repeats[outcome.workload] += 1
        task = asyncio.create_task(_repeat(deps, outcome))
        deps.background.add(task)
        task.add_done_callback(deps.background.discard)

    return replace(delivery, settle=settle_and_repeat)


def _may_repeat(deps: Deps, outcome: Outcome) -> bool:
    """There are too few yet, and the two answers could be compared afterwards."""
    settings, options = outcome.workload_settings, outcome.request.options
    if settings is None or settings.effective_policy != "promise" or not settings.audit.repeats:
        return False
    if outcome.ask.tier is not Tier.TEACHER or outcome.ask.level is None:
        return False
    if not options.store or options.max_cost_usd is not None:
        return False
    if outcome.entry.hold is not None:  # its key's budget has set nothing aside for a second call
        return False
    if not is_cascadable(outcome.request.body):
        return False
    text = deps.redactor.text(input_text(outcome.request.body))
    if not text.strip() or len(text) >= MAX_INPUT_CHARS or is_redacted(text):
        return False
    if outcome.workload not in deps.repeats:
        deps.repeats[outcome.workload] = deps.store.count_by_reason(outcome.workload, REPEAT)
    return deps.repeats[outcome.workload] < settings.audit.repeats


async def _repeat(deps: Deps, outcome: Outcome) -> None:
    """Ask and record; a call that fails has measured nothing, and is recorded as an error."""
    ask = Ask(tier=Tier.TEACHER, commit=True, reason=REPEAT)
    again = Outcome(
        id=f"int_{uuid.uuid4().hex}",
        request=outcome.request,
        caller=replace(outcome.caller, train_on=False),
        workload=outcome.workload,
        workload_settings=outcome.workload_settings,
        release=outcome.release,
        model=outcome.model,
        trace=Trace(steps=(TraceStep(ask=ask),)),
        ask=ask,
    )
    began_s = time.perf_counter()
    tries: list[AttemptLog] = []
    try:
        # Of the teacher alone: another model's answer would say nothing about it.
        target = replace(deps.targets[outcome.model], fallbacks=())
        reply = await deps.upstream.complete(target, outcome.request.body, None, tries)
        again.answer = read_reply(again, reply)
    except BaseException as error:
        again.attempts, again.status = tuple(tries), "error"
        if not isinstance(error, CallError):
            raise
        _log.info("Asking the teacher of %s the same again failed", outcome.workload)
    finally:
        again.upstream_s = time.perf_counter() - began_s
        again.stop_clock()
        settle(deps, again)
