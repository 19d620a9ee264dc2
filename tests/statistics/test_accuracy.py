"""A promise on accuracy, by simulation with known truth: the teacher errs, verdicts come late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from policies.promise.accuracy import VERDICT, AccuracyPolicy
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.policy import Part
from policies.types import Ask, Evidence, Features, Tier, Trial

LEVELS = len(LEVEL_MULTIPLES)
READY = Features(workload="w", student_ready=True)
THRESHOLDS = np.linspace(0.98, 0.02, LEVELS)
TERMS = Terms(accuracy=0.9, confidence=0.9)
DELTA = 1.0 - TERMS.confidence


def most(runs: int) -> float:
    """Violations that chance explains, at three standard errors."""
    return DELTA + 3.0 * math.sqrt(DELTA * (1.0 - DELTA) / runs)


def judged(*, drawn: bool, draft: bool, teacher: bool, level: int = 0, share: float = 0.2) -> Trial:
    """``draft``, ``teacher``: whether they are wrong."""
    return Trial(
        level=level,
        seen=drawn,
        wrong=drawn and draft,
        teacher_wrong=drawn and teacher,
        propensity=share,
        floor=share,
    )


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_answers_wrong_as_often_as_allowed_rarely_ever_seem_better(share: float) -> None:
    """Half would be served; draft and teacher err differently, and together just as allowed."""
    rng = np.random.default_rng(1)
    runs, accepted = 60, np.zeros(LEVELS)
    for _ in range(runs):
        certificate, ever = Certificate(TERMS), np.full(LEVELS, -np.inf)
        for _ in range(600):
            level = 0 if rng.random() < 0.5 else LEVELS
            draft, teacher = rng.random() < 0.15, rng.random() < 0.05
            drawn = bool(rng.random() < share)
            trial = judged(drawn=drawn, draft=draft, teacher=teacher, level=level, share=share)
            certificate.observe(trial)
            ever = np.maximum(ever, certificate.wealth())
        accepted += ever >= certificate.target
    assert accepted.max() / runs <= most(runs)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.05])
@pytest.mark.parametrize("level", [0, LEVELS])
def test_a_teacher_that_is_down_earns_nothing(share: float, level: int) -> None:
    certificate = Certificate(TERMS)
    down = Trial(level=level, seen=False, wrong=False, failed=True, propensity=share, floor=share)
    unasked = judged(drawn=False, draft=False, teacher=False, level=level, share=share)
    mean = share * np.exp(certificate.growth(down)) + (1.0 - share) * np.exp(
        certificate.growth(unasked)
    )
    assert (mean <= 1.0 + 1e-12).all()


@dataclass(kw_only=True)
class World:
    """Scores are even in 0..1; below ``hard`` the student errs in 0.6 of its drafts."""

    rng: np.random.Generator
    teacher_errs: float = 0.05
    student_errs: float = 0.06
    hard: float = 0.5
    delivered: list[bool] = field(default_factory=list)

    def risk(self, level: int) -> float:
        """Of all answers, with drafts served down to the level's threshold."""
        threshold = float(THRESHOLDS[level])
        hard, easy = max(0.0, self.hard - threshold), 1.0 - max(self.hard, threshold)
        return 0.6 * hard + self.student_errs * easy + self.teacher_errs * threshold

    def ask(self, certificate: Certificate, share: float) -> tuple[Ask, bool, bool]:
        """What the policy does, and whether draft and teacher are wrong."""
        score = float(self.rng.random())
        wrong = bool(self.rng.random() < (self.student_errs if score >= self.hard else 0.6))
        teacher = bool(self.rng.random() < self.teacher_errs)
        part = Part(certificate=certificate, thresholds=THRESHOLDS)
        flow = AccuracyPolicy(part, self.rng.random, share).flow(READY)
        next(flow)
        ask = flow.send(Evidence(available=True, confidence=score))
        self.delivered.append(wrong if ask.tier is Tier.STUDENT else teacher)
        return ask, wrong, teacher


Late = Callable[[np.random.Generator, bool], int]
"""After how many interactions a verdict comes; by whether the teacher's answer is wrong."""

DUE = 300


def at_once(_rng: np.random.Generator, _wrong: bool) -> int:
    return 0


def any_time(rng: np.random.Generator, _wrong: bool) -> int:
    return int(rng.integers(0, DUE))


def wrong_sooner(rng: np.random.Generator, wrong: bool) -> int:
    return 0 if wrong else int(rng.integers(0, DUE))


def wrong_later(_rng: np.random.Generator, wrong: bool) -> int:
    return DUE if wrong else 0


def run(world: World, late: Late, *, share: float, silent: float, count: int) -> Iterator[int]:
    """The levels in force, one interaction after another; verdicts are heard in order."""
    certificate, waiting = Certificate(TERMS), []
    for now in range(count):
        ask, draft, teacher = world.ask(certificate, share)
        drawn = ask.reason == VERDICT
        if drawn and world.rng.random() < silent:
            draft = teacher = True
            comes = now + DUE
        else:
            comes = now + late(world.rng, teacher)
        trial = judged(drawn=drawn, draft=draft, teacher=teacher, level=ask.level or 0, share=share)
        waiting.append((comes if drawn else now, trial))
        while waiting and waiting[0][0] <= now:
            certificate.observe(waiting.pop(0)[1])
        level = certificate.level()
        yield -1 if level is None else level


@pytest.mark.long
@pytest.mark.parametrize("late", [at_once, any_time, wrong_sooner, wrong_later])
def test_a_level_in_force_rarely_errs_more_than_allowed(late: Late) -> None:
    """Its risk counts the teacher's mistakes; 2 % of verdicts never come."""
    runs, broken, served = 40, 0, 0
    for seed in range(runs):
        world = World(rng=np.random.default_rng(100 + seed))
        levels = set(run(world, late, share=0.3, silent=0.02, count=3000))
        broken += any(world.risk(level) > TERMS.risk for level in levels if level >= 0)
        served += max(levels) >= 0
    assert broken / runs <= most(runs)
    assert served >= 0.6 * runs


def test_a_teacher_that_errs_more_than_allowed_is_rarely_helped_out() -> None:
    """Neither it nor the student is good enough, at no level."""
    runs, served = 20, 0
    for seed in range(runs):
        world = World(rng=np.random.default_rng(seed), teacher_errs=0.11, student_errs=0.11)
        served += max(run(world, any_time, share=0.3, silent=0.0, count=1500)) >= 0
    assert served / runs <= most(runs)


def test_silence_serves_nothing() -> None:
    world = World(rng=np.random.default_rng(4), teacher_errs=0.0, student_errs=0.0, hard=0.0)
    assert set(run(world, at_once, share=0.2, silent=1.0, count=1500)) == {-1}


def test_counting_verdicts_as_they_come_would_break_the_promise() -> None:
    """Where wrong ones are told last, the right ones alone would open every level."""
    rng, certificate, late = np.random.default_rng(9), Certificate(TERMS), []
    opened = False
    for now in range(600):
        drawn, wrong = bool(rng.random() < 0.2), bool(rng.random() < 0.3)
        trial = judged(drawn=drawn, draft=wrong, teacher=wrong)
        if drawn and wrong:
            late.append((now + DUE, trial))
        else:
            certificate.observe(trial)
        while late and late[0][0] <= now:
            certificate.observe(late.pop(0)[1])
        opened = opened or certificate.level() is not None
    assert opened
    world = World(rng=np.random.default_rng(9), teacher_errs=0.3, student_errs=0.3)
    assert set(run(world, wrong_later, share=0.2, silent=0.0, count=600)) == {-1}


@pytest.mark.long
def test_what_is_delivered_keeps_the_promise() -> None:
    """The certificate's statement as its reader takes it: the share of right answers in all."""
    runs, broken = 40, 0
    for seed in range(runs):
        world = World(rng=np.random.default_rng(700 + seed))
        for _ in run(world, any_time, share=0.3, silent=0.0, count=3000):
            pass
        error = math.sqrt(TERMS.risk * (1.0 - TERMS.risk) / 3000)
        broken += float(np.mean(world.delivered)) > TERMS.risk + 2.0 * error
    assert broken / runs <= most(runs)
