"""What the outlook claims, by simulation with known truth. Seeds are fixed and stated."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Over, Terms
from policies.promise.outlook import bound_rate, forecast, is_release_too_wrong
from policies.types import Trial

NEVER = len(LEVEL_MULTIPLES)


def draw(rng: np.random.Generator, wrong: float, served: float) -> Trial:
    """Passes the strictest level with probability ``served``; seen, as while nothing is served."""
    return Trial(
        level=0 if rng.random() < served else NEVER,
        seen=True,
        wrong=bool(rng.random() < wrong),
        propensity=1.0,
        floor=1.0,
    )


@pytest.mark.parametrize(
    ("agreement", "over", "wrong", "served"),
    [
        (0.9, "all", 0.02, 0.5),  # errors at the rate that the strictest level predicts: 0.1·m
        (0.95, "all", 0.01, 0.5),
        (0.97, "all", 0.01, 0.3),
        (0.95, "served", 0.005, 0.5),
    ],
)
def test_the_number_told_is_mostly_within_a_factor_of_two(
    agreement: float, over: Over, wrong: float, served: float
) -> None:
    rng = np.random.default_rng(21)
    runs, near, covered = 0, 0, 0
    while runs < 100:
        certificate = Certificate(Terms(agreement=agreement, over=over))
        recent = []
        for _ in range(50):
            recent.append(draw(rng, wrong, served))
            certificate.observe(recent[-1])
        found = forecast(certificate, recent, 0, np.random.default_rng(runs))
        if certificate.level() is not None or found is None:
            continue
        runs += 1
        needed = 0
        while certificate.level() is None:
            certificate.observe(draw(rng, wrong, served))
            needed += 1
        near += 0.5 <= found.trials / needed <= 2.0
        covered += found.low <= needed <= (found.high or math.inf)
    assert near / runs >= 0.6
    assert covered / runs >= 0.8 - 2.0 * math.sqrt(0.8 * 0.2 / runs)


@pytest.mark.parametrize("over", ["all", "served"])
@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_release_at_the_allowed_risk_is_rarely_called_infeasible(
    over: Over, share: float
) -> None:
    """Looked at after every one of 400 trials, at exactly the allowed risk."""
    terms = Terms(agreement=0.9, confidence=0.9, over=over)
    wrong = terms.risk * (2.0 if over == "all" else 1.0)  # half is served
    rng = np.random.default_rng(22)
    runs, refused = 300, 0
    for _ in range(runs):
        trials = [
            Trial(
                level=0 if rng.random() < 0.5 else NEVER,
                seen=bool(rng.random() < share),
                wrong=bool(rng.random() < wrong),
                propensity=share,
                floor=share,
            )
            for _ in range(400)
        ]
        refused += is_release_too_wrong(terms, trials, 1)
    delta = 6.0 * 0.1 / math.pi**2  # of a first release
    assert refused / runs <= delta + 3.0 * math.sqrt(delta * (1.0 - delta) / runs)


def test_a_release_that_errs_twice_as_often_is_found_out() -> None:
    terms = Terms(agreement=0.9)
    rng = np.random.default_rng(23)
    found = sum(
        is_release_too_wrong(terms, [draw(rng, 0.2, 1.0) for _ in range(400)], 1) for _ in range(50)
    )
    assert found >= 45


@pytest.mark.parametrize("rate", [0.8, 0.95])
def test_the_bound_on_self_agreement_holds_at_all_times(rate: float) -> None:
    """A teacher exactly as steady as promised is refused at most as often as stated, although its
    bound is looked at after every repeated question."""
    rng = np.random.default_rng(24)
    runs, questions, refused = 400, 150, 0
    for _ in range(runs):
        alike = np.cumsum(rng.random(questions) < rate)
        refused += any(
            bound_rate(int(count), n, 0.9)[1] < rate for n, count in enumerate(alike, start=1)
        )
    assert refused / runs <= 0.1 + 3.0 * math.sqrt(0.1 * 0.9 / runs)


def test_a_teacher_that_wavers_is_found_out() -> None:
    rng = np.random.default_rng(25)
    bounds = [bound_rate(int((rng.random(150) < 0.8).sum()), 150, 0.95)[1] for _ in range(200)]
    assert np.mean([bound < 0.95 for bound in bounds]) >= 0.9
