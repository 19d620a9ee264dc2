"""The watch's false alarms and delays, and what an alarm is worth, by simulation with known truth.

A draft's chance to agree with the teacher is ``truth(confidence)``; confidences are those of a
middling gate (a Beta(3, 1) distribution: a mean of 0.75). Seeds are fixed and stated.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.drift import (
    AGREEMENT_RUN_LENGTH,
    LEVEL_RUN_LENGTH,
    AgreementWatch,
    LevelWatch,
    Watch,
)
from policies.promise.policy import PromisePolicy
from policies.types import Evidence, Features, Tier, Trial

Truth = Callable[[float], float]

INTERACTIONS = 3_000
HALF = 2_000
TERMS = Terms(agreement=0.95)
READY = Features(workload="w", student_ready=True)


def odds_times(factor: float) -> Truth:
    """A gate whose odds are off by a factor at every confidence."""

    def truth(confidence: float) -> float:
        odds = factor * confidence / (1.0 - confidence)
        return odds / (1.0 + odds)

    return truth


def swapped(part: float) -> Truth:
    """A teacher that says something else now in a part of all cases."""
    return lambda confidence: (1.0 - part) * confidence


def draw_confidence(rng: random.Random) -> float:
    return min(0.995, rng.betavariate(3.0, 1.0))


def observe_agreement(truths: Iterator[Truth], rng: random.Random) -> int | None:
    """Seen trials until the alarm; None: there is none."""
    watch = AgreementWatch()
    for i, truth in enumerate(truths, start=1):
        confidence = draw_confidence(rng)
        if watch.observe(confidence, rng.random() < truth(confidence)) >= 1.0:
            return i
    return None


def test_agreement_that_is_as_bad_as_the_null_allows_alarms_within_the_bound() -> None:
    runs, trials, alarms = 400, 300, 0
    rng = random.Random(11)
    for _ in range(runs):
        watch = AgreementWatch()
        for _ in range(trials):
            confidence = draw_confidence(rng)
            agreed = rng.random() < watch.least_chance(confidence)
            if watch.observe(confidence, agreed) >= 1.0:
                alarms += 1
                break
    bound = trials / AGREEMENT_RUN_LENGTH
    assert 0 < alarms <= runs * bound + 3.0 * math.sqrt(runs * bound * (1.0 - bound))


@pytest.mark.parametrize(("off", "share"), [(1.0, 0.1), (1.0 / 1.3, 0.2)])
def test_a_gate_that_is_a_bit_off_seldom_alarms(off: float, share: float) -> None:
    runs = 60
    rng = random.Random(12)
    truth = odds_times(off)
    alarms = [observe_agreement(iter([truth] * INTERACTIONS), rng) for _ in range(runs)]
    assert sum(alarm is not None for alarm in alarms) <= share * runs


@pytest.mark.parametrize(
    ("after", "median", "latest"),
    [(swapped(0.33), 60, 110), (odds_times(0.2), 60, 110), (swapped(0.15), 220, 500)],
)
def test_a_jump_is_noticed_within_so_many_seen_trials(
    after: Truth, median: int, latest: int
) -> None:
    rng = random.Random(13)
    before = 400
    delays = []
    for _ in range(40):
        truths = [odds_times(1.0)] * before + [after] * 3_000
        delays.append((observe_agreement(iter(truths), rng) or math.inf) - before)
    found = sorted(delay for delay in delays if delay > 0)
    assert len(found) >= 38
    assert found[len(found) // 2] <= median
    assert found[int(0.9 * len(found))] <= latest


def observe_level(values: Iterator[float]) -> int | None:
    watch = LevelWatch()
    return next((i for i, v in enumerate(values, start=1) if watch.observe(v) >= 1.0), None)


@pytest.mark.parametrize("digits", [1, 6], ids=["many-ties", "few-ties"])
def test_exchangeable_values_alarm_within_the_bound(digits: int) -> None:
    runs, trials = 150, 1_000
    rng = random.Random(14)
    alarms = sum(
        observe_level(round(rng.betavariate(8.0, 3.0), digits) for _ in range(trials)) is not None
        for _ in range(runs)
    )
    bound = trials / LEVEL_RUN_LENGTH
    assert alarms <= runs * bound + 3.0 * math.sqrt(runs * bound * (1.0 - bound))


def test_queries_from_elsewhere_are_noticed() -> None:
    rng = random.Random(15)
    delays = []
    for _ in range(30):
        near = [rng.betavariate(8.0, 3.0) for _ in range(400)]
        far = [rng.betavariate(8.0, 3.0 if rng.random() < 0.5 else 8.0) for _ in range(1_000)]
        delays.append((observe_level(iter(near + far)) or math.inf) - 400)
    assert sorted(delays)[15] <= 150
    assert sorted(delays)[27] <= 400


@dataclass(frozen=True, kw_only=True)
class Run:
    """``worst``: the largest share of disagreements delivered in 1,000 interactions in a row;
    ``asked``: the share that the teacher answered; ``alarms``: how many."""

    worst: float
    asked: float
    alarms: int


def serve(after: Truth, seed: int, *, watched: bool) -> Run:
    """A certificate over a good gate, the truth changing after half of 4,000 interactions."""
    rng = random.Random(seed)
    certificate, watch = Certificate(TERMS), Watch()
    draws = np.sort(1.0 - np.random.default_rng(seed).beta(3.0, 1.0, 20_000).clip(max=0.995))
    predicted = np.cumsum(draws) / len(draws)
    depth = np.searchsorted(predicted, TERMS.risk * np.asarray(LEVEL_MULTIPLES))
    policy = PromisePolicy(certificate, 1.0 - draws[depth.clip(max=len(draws) - 1)], rng.random)
    wrong_delivered, asked, alarms = [], 0, 0
    for i in range(2 * HALF):
        confidence = draw_confidence(rng)
        truth = after if i >= HALF else odds_times(1.0)
        wrong = rng.random() >= truth(confidence)
        flow = policy.flow(READY)
        next(flow)
        ask = flow.send(Evidence(available=True, confidence=confidence))
        served = ask.tier is Tier.STUDENT
        asked += not served
        wrong_delivered.append(served and wrong)
        assert ask.level is not None
        trial = Trial(
            level=ask.level,
            seen=not served,
            wrong=wrong,
            propensity=ask.floor if served else ask.propensity,
            floor=ask.floor,
            confidence=confidence,
        )
        certificate.observe(trial)
        alarm = watch.observe(trial) if watched else None
        if alarm is not None:
            alarms += 1
            certificate.withdraw() if alarm.kind == "agreement" else certificate.be_wary()
    sums = np.concatenate([[0], np.cumsum(wrong_delivered)])
    return Run(
        worst=float((sums[1_000:] - sums[:-1_000]).max()) / 1_000,
        asked=asked / (2 * HALF),
        alarms=alarms,
    )


LIMIT = TERMS.risk + 1.96 * math.sqrt(TERMS.risk * (1.0 - TERMS.risk) / 1_000)
"""A window of 1,000 within the interval of the promise."""


@pytest.mark.long
def test_a_watched_certificate_keeps_its_windows_after_a_jump() -> None:
    watched = [serve(swapped(0.33), seed, watched=True) for seed in range(12)]
    blind = [serve(swapped(0.33), seed, watched=False) for seed in range(12)]
    assert sum(run.worst <= LIMIT for run in watched) >= 11
    assert sum(run.worst <= LIMIT for run in blind) < 11
    assert np.mean([run.worst for run in watched]) < np.mean([run.worst for run in blind]) - 0.01
    assert all(run.alarms for run in watched)


@pytest.mark.long
def test_watching_costs_nothing_where_nothing_changes() -> None:
    watched = [serve(odds_times(1.0), seed, watched=True) for seed in range(12)]
    blind = [serve(odds_times(1.0), seed, watched=False) for seed in range(12)]
    assert sum(run.alarms for run in watched) <= 2
    assert np.mean([run.asked for run in watched]) <= np.mean([run.asked for run in blind]) + 0.01
