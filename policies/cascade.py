"""A ladder of drafts under one gate and one promise: recall → students → other models → teacher.

Rungs. Each rung can draft, at a price that is known beforehand. What a rung drafted is as good as
the confidence in it, wherever it came from: the policy below sees one draft, the surest, and
decides about it as it would about a single student's. So a promise, its certificate, a guarantee
or a budget hold over all rungs together, and nothing about them changes.

Order. Let c be a draft's price, p the chance that it turns out fit to be served, T the teacher's
price. Asking rungs by ascending c/p until one is fit costs least on average, and a rung is worth
asking at all exactly where c < p·T: with such a rung, all after it have a ratio of at least c/p, so
that what is left to pay without it is at least min(c/p, T). (A search for the first success;
chances are taken to be independent, given what is known.) The chances are learned from the drafts
made so far, from the request and from the surest draft before (``policies.scoring.difficulty``),
and the next rung is chosen anew after each draft. Free drafts come first, in the order given.

Skips. No priced draft is made once one is fit to be served, but one in fifty of a fixed model's,
without which nobody could say what that model is worth for such requests. A free one then costs
time alone, and may be the surer of the two: a recalled answer was given once, a student knows what
was said about all questions like it. It is made while it was surer in a tenth of such cases.

A draft that doesn't seem worth it is made in one of twenty cases all the same: nothing would ever
be learned about what is never tried.

Fit for what. A draft is fit to be served from the policy's bar on. While little is proven that bar
is high, and a priced rung would hardly be tried, so that nothing more would ever be proven of it.
Whether a priced draft is worth making is therefore judged by the confidence that the promise aims
at (``aim``): to get there is what the early drafts pay for.

Which rung drafts depends on the past, on the request and on coins, never on the teacher's answer.
So every draft is chosen before it is known whether it is wrong, which is all that a certificate or
a ledger asks of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from policies.base import Coin, Flow, Policy
from policies.promise.certificate import Over
from policies.scoring.difficulty import Difficulty
from policies.scoring.gate import Gate, find_thresholds
from policies.types import Ask, Evidence, Features, Tier

Floats = NDArray[np.float64]

_TRIED_ANYWAY = 0.05
_WORTH_A_LOOK = 0.1
_MEASURED_ANYWAY = 0.02
"""A fixed model drafts in this share of the cases, too, in which a draft before it is fit."""

_ENOUGH = 20
_PAIRS = 100
"""A free draft is made beside a fit one while it was surer in this share of the latest such pairs;
and until that many are known."""

Skip = Literal["fit", "dear"]
"""Why a rung wasn't asked: a draft before it was fit to be served, or its own is seldom fit and
would cost more than it is likely to save."""

_WINDOW = 500
"""Latest drafts from which it is told how often, and how surely, others than the release draft."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Who can draft: ``name``, unique on a ladder, names it in asks; ``cost_usd``: what its draft
    is likely to cost, 0 where it is free or has no price; ``fixed``: a model that nobody trains, so
    that it drafts without a release and no release says how sure its drafts are."""

    name: str
    tier: Tier
    cost_usd: float = 0.0
    fixed: bool = False

    @property
    def has_curve(self) -> bool:
        """The release's gate says what risk its drafts add."""
        return self.tier is Tier.STUDENT and not self.fixed


RECALL: Final = Rung(name="recall", tier=Tier.RECALL)
STUDENT: Final = Rung(name="student", tier=Tier.STUDENT)
"""The embedded student; a draft of it is free."""


class Ladder:
    """What was learned about a workload's rungs; shared with its owner, who serialises calls."""

    def __init__(self) -> None:
        self._difficulty: dict[str, Difficulty] = {}
        self._surer: dict[str, deque[bool]] = {}
        self._others: deque[tuple[float, float] | None] = deque(maxlen=_WINDOW)

    def is_often_surer(self, rung: Rung) -> bool:
        """Whether a draft of this rung is worth a look where one that is fit is at hand."""
        pairs = self._surer.get(rung.name, ())
        return len(pairs) < _ENOUGH or sum(pairs) >= _WORTH_A_LOOK * len(pairs)

    def compare(self, rung: Rung, surer: bool) -> None:
        """A draft was made beside a fit one, and was or wasn't the surer."""
        self._surer.setdefault(rung.name, deque(maxlen=_PAIRS)).append(surer)

    def chance(self, rung: Rung, features: Features, surest: float | None) -> float:
        """The chance that a draft of this rung turns out fit; 1 for a free one, which isn't asked
        about."""
        if rung.cost_usd <= 0.0:
            return 1.0
        known = self._difficulty.get(rung.name)
        return 0.5 if known is None else known.chance(features, surest)

    def observe(self, rung: Rung, features: Features, surest: float | None, fit: bool) -> None:
        """A priced draft was made. One that failed says nothing about the request."""
        if rung.cost_usd > 0.0:
            self._difficulty.setdefault(rung.name, Difficulty()).observe(features, surest, fit)

    def note(self, rung: Rung, confidence: float, students: float | None = None) -> None:
        """A draft with this confidence was judged; whose it was decides about risk levels.

        ``students``: the confidence in the release's own draft that this one took the place of. A
        threshold that that one passes would have had it served.
        """
        other = (confidence, -math.inf if students is None else students)
        self._others.append(None if rung.has_curve else other)

    def thresholds(self, levels: Floats, over: Over, gate: Gate | None) -> Floats:
        """Score threshold per risk level, non-increasing; ``inf`` where there is none.

        To what the gate predicts of the release's drafts, recalled answers and those of fixed
        models add what their own confidences predict: the share of the latest drafts that were
        theirs with at least that score, and the mean doubt about them. Without a gate only they
        are there.
        """
        others = [one for one in self._others if one is not None]
        if not others:
            return np.full(len(levels), np.inf) if gate is None else gate.thresholds(levels, over)
        own, students = np.array(others).T
        sure = np.sort(own)[::-1]
        score = sure if gate is None else np.concatenate([sure, gate.curve_score])
        score = np.unique(score)[::-1]
        share, doubt = _add_up(sure, 1.0 - sure, score)
        if gate is not None:
            # Below the student's own confidence the student's draft is served, which it counts.
            place = np.argsort(-students)
            less, less_doubt = _add_up(students[place], (1.0 - own)[place], score)
            share, doubt = share - less, doubt - less_doubt
        share, doubt = share / len(self._others), doubt / len(self._others)
        if gate is not None:
            of_student, wrong = _read_curve(gate, score)
            share, doubt = share + of_student, doubt + wrong
        risk = doubt if over == "all" else np.divide(doubt, np.maximum(share, 1e-9))
        return find_thresholds(score, risk, levels)


def _add_up(sure: Floats, doubt: Floats, score: Floats) -> tuple[Floats, Floats]:
    """How many of the descending confidences reach each score, and the sum of their doubts."""
    count = np.searchsorted(-sure, -score, side="right")
    return count.astype(np.float64), np.concatenate([[0.0], np.cumsum(doubt)])[count]


def _read_curve(gate: Gate, score: Floats) -> tuple[Floats, Floats]:
    """The share of traffic that the student serves down to each score, and the share it serves
    wrongly, as the gate predicts them."""
    above = np.searchsorted(-gate.curve_score, -score, side="right")
    wrong = np.concatenate([[0.0], gate.curve_all])[above]
    served = np.concatenate([[0.0], gate.curve_served])[above]
    # Nothing wrong among the served: how many they are can't be told from the curves.
    share = np.divide(wrong, served, out=np.zeros_like(wrong), where=served > 0.0)
    return np.maximum.accumulate(share), wrong


@dataclass(frozen=True, kw_only=True)
class _Made:
    rung: Rung
    evidence: Evidence

    @property
    def rank(self) -> tuple[bool, float]:
        """Surer is higher; a draft that can't be judged is better than none."""
        confidence = self.evidence.confidence
        known = confidence is not None and math.isfinite(confidence)
        return self.evidence.available, (confidence or 0.0) if known else -1.0


class CascadePolicy:
    """Lets ``inner`` decide about the surest draft of a ladder instead of a single student's.

    ``rungs``: those that could draft, free ones in the order to be asked; recall is asked only
    where ``Features.recall_ready``, students only where ``Features.student_ready``, fixed models
    wherever they are given. ``bar``: the confidence from which ``inner`` would serve a draft;
    ``aim``: from which it would once as much is proven as is promised, ``bar`` where not given;
    ``teacher_usd``: what the teacher's answer is likely to cost, None where unknown, which makes
    every draft worth its price. ``skipped``: is given the rungs that weren't asked, and why.
    """

    def __init__(
        self,
        inner: Policy,
        rungs: Sequence[Rung],
        ladder: Ladder,
        coin: Coin,
        *,
        bar: float,
        teacher_usd: float | None,
        aim: float | None = None,
        skipped: dict[str, Skip] | None = None,
    ) -> None:
        self._inner = inner
        self._rungs = rungs
        self._ladder = ladder
        self._coin = coin
        self._bar = bar
        self._aim = bar if aim is None else min(aim, bar)
        self._skipped = {} if skipped is None else skipped
        self._teacher_usd = math.inf if teacher_usd is None else teacher_usd

    @property
    def name(self) -> str:
        """That of the policy which decides."""
        return self._inner.name

    def flow(self, features: Features) -> Flow:
        made = (yield from self._climb(features)) if features.cascadable else []
        best = max(made, key=lambda one: one.rank, default=None)
        # Nothing to recall after all is no student's failure.
        failed = any(one.rung.tier is Tier.STUDENT for one in made)
        if best is None or not (best.evidence.available or failed):
            yield from self._inner.flow(replace(features, student_ready=False))
            return
        if best.evidence.available and best.evidence.confidence is not None:
            self._ladder.note(best.rung, best.evidence.confidence, _find_students(made, best))
        flow = self._inner.flow(replace(features, student_ready=True))
        ask = next(flow)
        try:
            while True:
                if ask.tier is Tier.STUDENT and not ask.commit:
                    ask = flow.send(best.evidence)
                else:
                    ask = flow.send((yield _about(ask, best.rung)))
        except StopIteration:
            return

    def _climb(self, features: Features) -> Generator[Ask, Evidence, list[_Made]]:
        """Draft until none is left that seems worth its price, or its time."""
        left = [rung for rung in self._rungs if _is_ready(rung, features)]
        made: list[_Made] = []
        surest: float | None = None
        while left:
            rung = min(left, key=lambda one: self._ratio(one, features, surest))
            left.remove(rung)
            chance, why = self._choose_chance(rung, features, surest)
            if chance < 1.0 and (chance == 0.0 or self._coin() >= chance):
                self._skipped[rung.name] = why
                continue
            reason = "recall" if rung.tier is Tier.RECALL else "draft"
            ask = Ask(tier=rung.tier, commit=False, reason=reason, rung=rung.name)
            evidence = yield replace(ask, propensity=chance) if rung.fixed else ask
            made.append(_Made(rung=rung, evidence=evidence))
            confidence = evidence.confidence
            if not evidence.available or confidence is None or not math.isfinite(confidence):
                continue
            if surest is not None and surest >= self._bar:
                self._ladder.compare(rung, confidence > surest)
            else:
                self._ladder.observe(rung, features, surest, confidence >= self._aim)
            surest = confidence if surest is None else max(surest, confidence)
        return made

    def _ratio(self, rung: Rung, features: Features, surest: float | None) -> float:
        return rung.cost_usd / max(1e-9, self._ladder.chance(rung, features, surest))

    def _choose_chance(
        self, rung: Rung, features: Features, surest: float | None
    ) -> tuple[float, Skip]:
        """The chance with which the rung is asked, and why it would not be."""
        free = rung.cost_usd <= 0.0
        if surest is not None and surest >= self._bar:
            if free:
                return 1.0 if self._ladder.is_often_surer(rung) else _TRIED_ANYWAY, "fit"
            return _MEASURED_ANYWAY if rung.fixed else 0.0, "fit"
        worth = free or self._ratio(rung, features, surest) < self._teacher_usd
        return 1.0 if worth else _TRIED_ANYWAY, "dear"


def _is_ready(rung: Rung, features: Features) -> bool:
    if rung.fixed:
        return True
    return features.recall_ready if rung.tier is Tier.RECALL else features.student_ready


def _find_students(made: Sequence[_Made], best: _Made) -> float | None:
    """The confidence in the release's own draft where a fixed model's is the surer."""
    if not best.rung.fixed:
        return None
    own = (one.evidence.confidence for one in made if one.rung.has_curve)
    return max((one for one in own if one is not None), default=None)


def _about(ask: Ask, rung: Rung) -> Ask:
    """The inner policy's ask with the rung whose draft it is about."""
    return replace(ask, rung=rung.name, tier=rung.tier if ask.tier is Tier.STUDENT else ask.tier)
