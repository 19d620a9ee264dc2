"""Further models between the student and the teacher: which may draft, what, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from starlette.concurrency import run_in_threadpool

from policies.cascade import Rung
from policies.compare import get_comparer
from policies.scoring.online import fit
from policies.types import Answer, Ask, Evidence, Tier, TraceStep
from router.deciding.rungs import RungKeeper, name_pair, write_comparison
from router.deps import Deps
from router.errors import TutelageError
from router.generative.rung import Earlier, Made, as_drafter, measure_rung
from router.meter.prices import Usage, cost_of
from router.outcome import DraftCalls, Outcome
from router.record.model import write_ask
from router.upstream.model import AttemptLog
from router.wire.openai import count_prompt_chars, shape_of

_log = logging.getLogger("tutelage.rungs")

_CHARS_PER_TOKEN = 4


def find_rungs(deps: Deps, outcome: Outcome, teacher_usd: Decimal | None) -> Sequence[Rung]:
    """The models that may draft about this request, in the order of the configuration.

    ``teacher_usd``: what asking the teacher is likely to cost. As many draft, the first of the
    order, as the client's ``max_cost_usd`` leaves room for besides.
    """
    settings, keeper = outcome.workload_settings, deps.rungs
    if settings is None or keeper is None:
        return ()
    limit = outcome.request.options.max_cost_usd
    found, expected = [], teacher_usd or Decimal(0)
    for key in settings.effective_rungs:
        if key not in deps.targets or key == outcome.model:
            continue
        cost = _expect_cost(deps, keeper, outcome, key)
        if limit is None or expected + cost <= limit:
            expected += cost
            found.append(Rung(name=key, tier=Tier.STUDENT, cost_usd=float(cost), fixed=True))
    return found


def _expect_cost(deps: Deps, keeper: RungKeeper, outcome: Outcome, key: str) -> Decimal:
    """USD that a draft is likely to cost: the mean so far, but at least what the prompt alone
    does; 0 without a price."""
    tokens = count_prompt_chars(outcome.request.body) // _CHARS_PER_TOKEN
    prompt = cost_of(
        Usage(prompt_tokens=tokens, completion_tokens=0), deps.settings.models[key].price
    )
    known = (prompt, keeper.cost(outcome.workload, key))
    return max((one for one in known if one is not None), default=Decimal(0))


async def draft_by_rung(deps: Deps, outcome: Outcome, key: str) -> tuple[Answer | None, Evidence]:
    """The model's draft with what is thought of it. Whatever goes wrong is no draft; what was asked
    of the server is noted in any case."""
    tries: list[AttemptLog] = []
    body, made = outcome.request.body, None
    target = as_drafter(deps.targets[key], deps.settings.models[key])
    try:
        made = await deps.rung_caller.draft(deps.upstream, target, body, tries)
        return made.answer, await _judge(deps, outcome, key, made)
    except Exception as error:  # noqa: BLE001 - a broken rung must never break an answer
        said = str(error) if isinstance(error, TutelageError) else type(error).__name__
        _log.warning("Model %s made no draft for %s: %s", key, outcome.workload, said)
        return None, Evidence(available=False)
    finally:
        outcome.note_draft_calls(
            DraftCalls(
                model=key,
                attempts=tuple(tries) if made is None else made.attempts,
                usage=None if made is None else made.usage,
                version=None if made is None else made.upstream_model,
            )
        )


async def _judge(deps: Deps, outcome: Outcome, key: str, made: Made) -> Evidence:
    body, keeper = outcome.request.body, deps.rungs
    shape = shape_of(body)
    comparer = outcome.name_comparer(shape, made.answer)
    signals = measure_rung(body, made, comparer, _find_earlier(outcome, made.answer, comparer))
    if keeper is None:
        return Evidence(available=True, signals=signals)
    gate = keeper.gate(outcome.workload, key, _name_pair(deps, outcome, key))
    due = gate.take_due()
    if due is not None:  # for up to 20 ms of a core, in which others are answered
        gate.put(await run_in_threadpool(fit, due))
    confidence = gate.confidence(signals)
    # However often it agrees, in another form than asked for it can't.
    if confidence is not None and signals["format_fault"]:
        confidence = 0.0
    return Evidence(available=True, confidence=confidence, signals=signals)


def _find_earlier(outcome: Outcome, answer: Answer, comparer: str) -> Earlier | None:
    """The surest draft made so far, and whether this answer agrees with it."""
    made = [(said, evidence) for _, said, evidence in outcome.drafts.values() if said is not None]
    if not made:
        return None
    said, evidence = max(made, key=lambda one: one[1].confidence or 0.0)
    agrees = get_comparer(comparer).agrees(said, answer, shape_of(outcome.request.body))
    return Earlier(confidence=evidence.confidence, agrees=agrees)


def _name_pair(deps: Deps, outcome: Outcome, key: str) -> str:
    return name_pair(deps.targets[key], deps.targets[outcome.model])


def write_trace(
    deps: Deps, outcome: Outcome, comparer: str, teacher: Answer | None
) -> tuple[dict[str, Any], ...]:
    """The steps as they are stored. ``teacher``: its answer, where it is known and stored.

    A further model's draft that was held against it says what its gate learns from, whether or not
    it was the surest; the committing step says which models weren't asked.
    """
    rungs = {rung.name for rung in outcome.rungs}
    steps = outcome.trace.steps
    return tuple(_write_step(deps, outcome, step, rungs, comparer, teacher) for step in steps)


def _write_step(
    deps: Deps,
    outcome: Outcome,
    step: TraceStep,
    rungs: set[str],
    comparer: str,
    teacher: Answer | None,
) -> dict[str, Any]:
    ask, written = step.ask, write_ask(step.ask)
    if ask.commit:
        skipped = {name: why for name, why in outcome.skipped.items() if name in rungs}
        return {**written, "skipped": skipped} if skipped else written
    if ask.rung is None or ask.rung not in rungs or step.evidence is None:
        return written
    _, answer, evidence = outcome.drafts[ask.rung]
    if evidence.confidence is not None:
        written["confidence"] = round(evidence.confidence, 6)
    if teacher is not None and answer is not None:
        agreed = get_comparer(comparer).agrees(teacher, answer, shape_of(outcome.request.body))
        pair = _name_pair(deps, outcome, ask.rung)
        written["compared"] = write_comparison(evidence.signals, agreed, pair)
    return written


def name_stand_in(outcome: Outcome, ask: Ask) -> Ask:
    """An ask that was about a rung whose draft didn't come, about the student's instead."""
    named = any(rung.name == ask.rung for rung in outcome.rungs)
    return replace(ask, rung=None) if named else ask
