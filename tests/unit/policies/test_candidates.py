from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier

from policies.fit.candidates import CANDIDATES, fit_boosting, fit_isotonic, fit_neighbours
from policies.fit.gate import fit_gate
from policies.scoring.scorers import Floats, read_scorer

ROWS = 800
ONES = np.ones(ROWS)


def draw(law: str, seed: int = 1) -> tuple[Floats, NDArray[np.bool_]]:
    """Three signals; what is good depends on the first alone, on two, or on a bend in one."""
    rng = np.random.default_rng(seed)
    signals = rng.normal(size=(ROWS, 3))
    first, second = signals[:, 0], signals[:, 1]
    z = {"raw": 2 * first, "linear": first + 2 * second, "bent": first + 3 * (second**2 - 1)}[law]
    return signals, rng.random(ROWS) < 1 / (1 + np.exp(-z))


def lost_of(good: NDArray[np.bool_]) -> Floats:
    return (~good).astype(np.float64)


@pytest.mark.parametrize("candidate", CANDIDATES, ids=lambda one: one.name)
def test_a_scorer_survives_its_arrays_and_scores_one_row_as_many(candidate: object) -> None:
    signals, good = draw("linear")
    columns = signals[:, :1] if candidate.raw else signals  # type: ignore[attr-defined]
    scorer = candidate.fit(columns, good, lost_of(good), ONES, 0)  # type: ignore[attr-defined]
    chances = scorer.probabilities(columns)
    assert ((chances > 0) & (chances < 1)).all()
    again = read_scorer(scorer.kind, scorer.to_arrays())
    np.testing.assert_array_equal(again.probabilities(columns), chances)
    one_by_one = [scorer.probabilities(row[None])[0] for row in columns[:20]]
    np.testing.assert_allclose(one_by_one, chances[:20])


def test_the_trees_are_scikit_learns() -> None:
    signals, good = draw("bent")
    reference = GradientBoostingClassifier(
        n_estimators=60,
        max_depth=2,
        learning_rate=0.1,
        min_samples_leaf=20,
        subsample=0.8,
        random_state=3,
    ).fit(signals, good, sample_weight=ONES)
    expected = reference.predict_proba(signals)[:, 1]
    np.testing.assert_allclose(
        fit_boosting(signals, good, lost_of(good), ONES, 3).probabilities(signals), expected
    )


def test_trees_that_cannot_divide_are_still_whole() -> None:
    """A leaf above the last depth: 50 rows allow one division at most."""
    signals, good = draw("linear")
    scorer = fit_boosting(signals[:50], good[:50], lost_of(good[:50]), ONES[:50], 0)
    assert np.isfinite(scorer.probabilities(signals)).all()


def test_the_isotonic_curve_rises_and_ranks_as_its_signal_does() -> None:
    signals, good = draw("raw")
    chances = fit_isotonic(signals[:, :1], good, lost_of(good), ONES, 0).probabilities(
        signals[:, :1]
    )
    order = np.argsort(signals[:, 0])
    assert (np.diff(chances[order]) >= 0).all()
    inner = (chances > 0.001) & (chances < 0.999)
    assert len(np.unique(chances[inner])) == inner.sum()


def test_neighbours_shrink_to_the_average() -> None:
    signals, good = draw("raw")
    chances = fit_neighbours(signals, good, lost_of(good), ONES, 0).probabilities(signals)
    base = good.mean()
    assert chances.max() <= (30 + 2 * base) / 32
    assert chances.min() >= 2 * base / 32


@pytest.mark.parametrize(
    ("law", "winners"),
    [
        ("raw", {"raw confidence"}),
        ("linear", {"logistic"}),
        ("bent", {"boosting", "neighbours"}),
    ],
)
def test_the_winner_is_the_one_that_fits_the_law(law: str, winners: set[str]) -> None:
    signals, good = draw(law)
    fitted = fit_gate(signals, ["raw", "other", "third"], good, ONES, seed=0)
    assert fitted.name in winners
    assert fitted.losses[fitted.name] == min(fitted.losses[name] for name in fitted.losses) or (
        fitted.name == "raw confidence"
    )


def test_a_gate_on_noise_alone_stays_with_the_raw_confidence() -> None:
    """Twenty worthless signals on 150 rows: what a rich gate sees in them doesn't hold."""
    rng = np.random.default_rng(5)
    signals = rng.normal(size=(150, 21))
    good = rng.random(150) < 1 / (1 + np.exp(-2 * signals[:, 0]))
    fitted = fit_gate(signals, [f"s{i}" for i in range(21)], good, np.ones(150), seed=0)
    assert fitted.gate.signals == ("s0",)


def test_held_out_confidences_are_of_gates_that_had_not_seen_the_row() -> None:
    """They are not the final gate's, and their loss is the one that was compared."""
    signals, good = draw("linear")
    fitted = fit_gate(signals, ["raw", "other", "third"], good, ONES, seed=0)
    own = fitted.gate.confidences(signals, ["raw", "other", "third"])
    assert not np.allclose(fitted.held_out, own)
    loss = -np.log(np.where(good, fitted.held_out, 1 - fitted.held_out)).mean()
    assert loss == pytest.approx(fitted.losses[fitted.name])
