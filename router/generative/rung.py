"""Drafts by a configured model between the student and the teacher, with evidence for its gate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from policies.scoring.online import MOST_SIGNALS
from policies.types import Answer
from router.evidence.format import find_format_fault
from router.evidence.logprobs import TOP, measure_tokens
from router.evidence.measure import measure_draft
from router.generative.replicas import DRAFT_MAY_TAKE_S
from router.meter.prices import Usage
from router.settings.model import ModelSettings
from router.students.recall import RECALLED
from router.upstream.model import AttemptLog, CallRejected, Reply, UpstreamTarget
from router.wire.openai import answer_from_message, shape_of

BEFORE: Final = "before"
"""A signal that every draft of such a model has and no other: whether another one stood before."""

_SHAPE_REFUSED = (400, 422)
_PLACES = 4
_SUREST = 1.0 - 1e-4


def is_students_own(signals: Mapping[str, float]) -> bool:
    """Whether a draft with these signals was a student's, neither recalled nor of such a model."""
    return RECALLED not in signals and BEFORE not in signals


class Upstream(Protocol):
    """Who carries the calls: ``router.deps.Upstream``."""

    async def complete(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: None = None,
        tries: list[AttemptLog] | None = None,
    ) -> Reply: ...


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """The surest draft that was made before: the confidence in it, None where it can't be judged,
    and whether the new one agrees with it."""

    confidence: float | None
    agrees: bool


@dataclass(frozen=True, kw_only=True)
class Made:
    """What the model said. ``logprobs``: of its tokens, as the server gave them; ``attempts``: all
    that it took."""

    answer: Answer
    logprobs: object
    attempts: tuple[AttemptLog, ...]
    usage: Usage | None
    upstream_model: str | None


class RungCaller:
    """Asks such models; remembers which of them refuse to give log-probabilities."""

    def __init__(self) -> None:
        self._without: set[str] = set()

    async def draft(
        self,
        upstream: Upstream,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        tries: list[AttemptLog],
    ) -> Made:
        """A whole answer. ``tries`` is given every try that fails as it ends. Raises what
        ``UpstreamClient.complete`` raises."""
        plain = target.dialect != "openai" or target.key in self._without
        asked = body if plain else {**body, "logprobs": True, "top_logprobs": TOP}
        try:
            reply = await upstream.complete(target, asked, None, tries)
        except CallRejected as error:
            if plain or error.status not in _SHAPE_REFUSED:
                raise
            reply = await upstream.complete(target, body, None, tries)
            self._without.add(target.key)
        choice, said = reply.payload["choices"][0], reply.payload.get("model")
        finish = choice.get("finish_reason")
        return Made(
            answer=answer_from_message(
                choice.get("message") or {}, finish if isinstance(finish, str) else None
            ),
            logprobs=choice.get("logprobs"),
            attempts=reply.attempts,
            usage=Usage.from_openai(reply.payload.get("usage")),
            upstream_model=said if isinstance(said, str) else None,
        )


def as_drafter(target: UpstreamTarget, settings: ModelSettings) -> UpstreamTarget:
    """The model as a rung: asked once, for as long as a student's server may take, since the
    teacher is the better second try; nobody stands in for it."""
    given = settings.timeout_s
    total_s = given.total if "total" in given.model_fields_set else DRAFT_MAY_TAKE_S
    return replace(
        target,
        retries=0,
        fallbacks=(),
        hedge_after_s=None,
        first_byte_timeout_s=total_s,  # a whole answer is silent until it is finished
        total_timeout_s=total_s,
    )


def measure_rung(
    body: Mapping[str, Any], made: Made, comparer: str | None, earlier: Earlier | None
) -> dict[str, float]:
    """Signals of a draft, at most ``MOST_SIGNALS``, rounded to what is stored of them: how it
    stands to the surest draft before it, its tokens' log-probabilities, sizes and checks."""
    sure = 0.5 if earlier is None or earlier.confidence is None else earlier.confidence
    sure = min(max(sure, 1.0 - _SUREST), _SUREST)
    logit = math.log(sure / (1.0 - sure))
    agrees = earlier is not None and earlier.agrees
    fault = find_format_fault(shape_of(body), comparer, made.answer)
    signals = {
        BEFORE: float(earlier is not None),
        "before_sure": logit,
        "before_agrees": float(agrees),
        "before_sure_agrees": logit if agrees else 0.0,
        "format_fault": float(fault is not None),
        **measure_tokens(made.logprobs),
        **measure_draft(body, made.answer),
    }
    finite = [(name, round(value, _PLACES)) for name, value in signals.items()]
    return dict([one for one in finite if math.isfinite(one[1])][:MOST_SIGNALS])
