"""The certificate's theorem, by simulation with known truth. Seeds are fixed and stated."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Over, Terms
from policies.types import Trial

NEVER = len(LEVEL_MULTIPLES)
RUNS, TRIALS = 100, 300


def draw(rng: np.random.Generator, wrong: float, share: float = 1.0, served: float = 1.0) -> Trial:
    """A trial served at every level with probability ``served``, and seen with ``share`` if so."""
    if rng.random() >= served:
        return Trial(level=NEVER, seen=True, wrong=True, propensity=1.0, floor=share)
    return Trial(
        level=0,
        seen=bool(rng.random() < share),
        wrong=bool(rng.random() < wrong),
        propensity=share,
        floor=share,
    )


@pytest.mark.parametrize("over", ["all", "served"])
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_a_level_at_the_promised_risk_is_rarely_ever_accepted(over: Over, share: float) -> None:
    terms = Terms(agreement=0.9, confidence=0.9, over=over)
    delta = 1.0 - terms.confidence
    rng = np.random.default_rng(11)
    # Half is served, so that the risk over all is half the risk over the served ones.
    wrong = terms.risk * (2.0 if over == "all" else 1.0)
    accepted = np.zeros(NEVER)
    for _ in range(RUNS):
        certificate = Certificate(terms)
        ever = np.full(NEVER, -np.inf)
        for _ in range(TRIALS):
            certificate.observe(draw(rng, wrong, share, served=0.5))
            ever = np.maximum(ever, certificate.wealth())
        accepted += ever >= certificate.target
    error = math.sqrt(delta * (1.0 - delta) / RUNS)
    assert accepted.max() / RUNS <= delta + 3.0 * error


@pytest.mark.parametrize("over", ["all", "served"])
@pytest.mark.parametrize("share", [1.0, 0.1])
def test_traffic_that_errs_as_often_as_allowed_rarely_ever_seems_better(
    over: Over, share: float
) -> None:
    """The wealth of the traffic as it was run is a test martingale whatever level is in force."""
    terms = Terms(agreement=0.9, confidence=0.9, over=over)
    delta = 1.0 - terms.confidence
    rng = np.random.default_rng(16)
    wrong = terms.risk * (2.0 if over == "all" else 1.0)
    seemed = 0
    for _ in range(RUNS):
        certificate = Certificate(terms)
        best = -math.inf
        for _ in range(TRIALS):
            certificate.observe(draw(rng, wrong, share, served=0.5))
            best = max(best, certificate.run_wealth())
        seemed += best >= certificate.target
    error = math.sqrt(delta * (1.0 - delta) / RUNS)
    assert seemed / RUNS <= delta + 3.0 * error


def reach(certificate: Certificate, level: int, rng: np.random.Generator) -> None:
    """Errors at the risk that each level predicts, until the level is in force."""
    risks = np.asarray(certificate.levels)
    while (certificate.level() or 0) < level:
        where = int(np.searchsorted(risks, rng.random()))
        wrong = where < NEVER and rng.random() < 0.3
        certificate.observe(Trial(level=where, seen=True, wrong=wrong, propensity=1.0, floor=1.0))


def test_nothing_is_served_for_which_less_than_the_promise_is_proven() -> None:
    """Whatever comes, at every moment: a level in force is proven, or the run is."""
    rng = np.random.default_rng(19)
    certificate = Certificate(Terms(agreement=0.9))
    leaned = 0
    for _ in range(3_000):
        level = certificate.level()
        if level is not None:
            assert certificate.lower_bound(level) >= 0.9
        leaned += certificate.leans
        where = int(np.searchsorted(certificate.levels, rng.random()))
        share = 0.1 if level is not None else 1.0
        fit = level is not None and where <= level
        certificate.observe(
            Trial(
                level=where,
                seen=not fit or bool(rng.random() < share),
                wrong=where < NEVER and bool(rng.random() < 0.5),
                propensity=share if fit else 1.0,
                floor=share,
            )
        )
    assert leaned > 100


def test_likely_levels_serve_before_they_are_proven_and_only_while_the_run_is_good() -> None:
    rng = np.random.default_rng(18)
    certificate = Certificate(Terms(agreement=0.9))
    reach(certificate, 8, rng)
    level = certificate.level()
    assert level is not None
    assert certificate.needed(0) == certificate.target > certificate.needed(level)
    assert certificate.needed(level) <= certificate.wealth()[level] < certificate.target
    assert certificate.run_wealth() >= certificate.target
    assert certificate.lower_bound(level) >= 0.9
    before = certificate.run_wealth()
    bad = Trial(level=level, seen=True, wrong=True, propensity=0.5, floor=0.5)
    while certificate.run_wealth() >= certificate.target:
        certificate.observe(bad)
    after = certificate.level()
    assert certificate.run_wealth() < before
    assert after is None or after < level


@pytest.mark.parametrize(("share", "within"), [(1.0, 200), (0.1, 1500)])
def test_a_risk_well_below_the_promise_is_accepted(share: float, within: int) -> None:
    rng = np.random.default_rng(12)
    proven = 0
    for _ in range(20):
        certificate = Certificate(Terms(agreement=0.9))
        for _ in range(within):
            certificate.observe(draw(rng, wrong=0.01, share=share))
        proven += certificate.level() is not None
    assert proven >= 18


def test_a_bad_present_loses_the_level_after_a_long_good_past() -> None:
    rng = np.random.default_rng(13)
    certificate = Certificate(Terms(agreement=0.9))
    for _ in range(5000):
        certificate.observe(draw(rng, wrong=0.0))
    before = certificate.level()
    assert before == NEVER - 1
    assert certificate.lower_bound(before) >= 0.9
    for _ in range(60):
        certificate.observe(draw(rng, wrong=0.5))
    assert certificate.level() is None


def test_the_state_survives_json() -> None:
    rng = np.random.default_rng(14)
    terms = Terms(agreement=0.9)
    certificate = Certificate(terms)
    for _ in range(200):
        certificate.observe(draw(rng, wrong=0.02))
    again = Certificate.restore(terms, json.loads(json.dumps(certificate.state())))
    for trial in [draw(rng, wrong=0.02) for _ in range(20)]:
        certificate.observe(trial)
        again.observe(trial)
    assert again.trials == certificate.trials == 220
    np.testing.assert_array_equal(again.wealth(), certificate.wealth())
    assert again.run_wealth() == certificate.run_wealth()
    assert again.level() == certificate.level()
    with pytest.raises(ValueError, match="shape"):
        Certificate.restore(terms, {**certificate.state(), "log_wealth": [0.0]})


@pytest.mark.parametrize(
    ("propensity", "floor"), [(0.0, 0.0), (0.05, 0.1), (1.1, 0.1), (0.5, 0.0), (math.nan, 0.1)]
)
def test_a_propensity_that_does_not_fit_is_refused(propensity: float, floor: float) -> None:
    certificate = Certificate(Terms(agreement=0.9))
    with pytest.raises(ValueError, match="propensity"):
        certificate.observe(
            Trial(level=0, seen=True, wrong=False, propensity=propensity, floor=floor)
        )
    assert certificate.trials == 0


@pytest.mark.parametrize("over", ["all", "served"])
def test_a_teacher_that_is_down_proves_nothing(over: Over) -> None:
    """All that is served goes unseen and every proof fails, while half the drafts are wrong."""
    rng = np.random.default_rng(15)
    share = 0.05
    accepted = 0
    for _ in range(20):
        certificate = Certificate(Terms(agreement=0.9, over=over))
        for _ in range(1500):
            asked = bool(rng.random() < share)
            certificate.observe(
                Trial(level=0, seen=False, wrong=True, propensity=share, floor=share, failed=asked)
            )
        accepted += certificate.level() is not None
    assert accepted <= 3
