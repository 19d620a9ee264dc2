from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from policies.fit.gate import NothingToCalibrate, fit_gate
from policies.promise.certificate import Over
from policies.scoring.gate import EMBEDDED_SIGNALS as SIGNALS
from policies.scoring.gate import Gate, logit_of_logprob
from policies.types import Evidence

Floats = NDArray[np.float64]


def traffic(rows: int, seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Signals in [0, 1], and agreement that depends on two of them by a known logistic law."""
    rng = np.random.default_rng(seed)
    signals = rng.uniform(size=(rows, len(SIGNALS)))
    margin, nearest = signals[:, SIGNALS.index("margin")], signals[:, SIGNALS.index("nearest")]
    truth = 1.0 / (1.0 + np.exp(-(4.0 * margin + 3.0 * nearest - 2.5)))
    return signals, rng.uniform(size=rows) < truth


def evidence(row: Floats) -> Evidence:
    return Evidence(available=True, signals=dict(zip(SIGNALS, row.tolist(), strict=True)))


def confidences(gate: Gate, signals: Floats) -> Floats:
    return np.asarray([gate.confidence(evidence(row)) for row in signals], dtype=np.float64)


@pytest.fixture(scope="module")
def gate() -> Gate:
    signals, agreed = traffic(4000, seed=1)
    return fit_gate(signals, SIGNALS, agreed, np.ones(len(agreed)), seed=0).gate


def test_confidence_is_calibrated_on_fresh_traffic(gate: Gate) -> None:
    signals, agreed = traffic(4000, seed=2)
    confidence = confidences(gate, signals)
    assert "nearest" in gate.signals
    for part in np.array_split(np.argsort(confidence), 5):
        assert abs(confidence[part].mean() - agreed[part].mean()) < 0.06


@pytest.mark.parametrize("over", ["all", "served"])
def test_thresholds_are_monotone_and_keep_the_predicted_risk(gate: Gate, over: Over) -> None:
    levels = np.linspace(0.0, 0.3, 20)
    thresholds = gate.thresholds(levels, over)
    assert np.isinf(thresholds[0])
    assert (thresholds[1:] <= thresholds[:-1]).all()
    signals, agreed = traffic(4000, seed=3)
    served = confidences(gate, signals) >= thresholds[5]
    risk = (served & ~agreed).sum() / (len(agreed) if over == "all" else served.sum())
    assert served.any()
    assert risk < levels[5] + 0.02


def test_a_missing_signal_gives_no_confidence(gate: Gate) -> None:
    whole = evidence(np.full(len(SIGNALS), 0.5))
    assert gate.confidence(whole) is not None
    for name in gate.signals:
        without = {key: value for key, value in whole.signals.items() if key != name}
        assert gate.confidence(replace(whole, signals=without)) is None


def test_a_gate_survives_its_arrays(gate: Gate) -> None:
    again = Gate.from_arrays(gate.signals, gate.scorer.kind, gate.to_arrays())
    signals, _ = traffic(50, seed=4)
    np.testing.assert_array_equal(confidences(again, signals), confidences(gate, signals))
    levels = np.linspace(0.0, 0.3, 20)
    np.testing.assert_array_equal(again.thresholds(levels, "all"), gate.thresholds(levels, "all"))


def test_drafts_that_all_disagree_are_refused() -> None:
    signals, agreed = traffic(100, seed=5)
    with pytest.raises(NothingToCalibrate, match="agree"):
        fit_gate(signals, SIGNALS, np.full_like(agreed, False), np.ones(100), seed=0)


def test_an_easy_workload_gets_a_gate_that_is_sure_but_not_certain() -> None:
    signals, agreed = traffic(100, seed=5)
    gate = fit_gate(signals, SIGNALS, np.full_like(agreed, True), np.ones(100), seed=0).gate
    confidence = confidences(gate, signals)
    assert confidence.mean() > 0.95
    assert confidence.max() < 1.0
    assert np.isfinite(gate.thresholds(np.array([0.05]), "all")).all()


def test_the_logit_of_a_log_probability_is_exact_and_bounded() -> None:
    for probability in (1e-5, 0.2, 0.5, 0.9, 0.9999):
        expected = np.log(probability / (1 - probability))
        assert logit_of_logprob(float(np.log(probability))) == pytest.approx(expected)
    assert logit_of_logprob(0.0) == logit_of_logprob(1e6) == 14.0
    assert logit_of_logprob(-1e6) == -14.0


def test_a_signal_that_is_no_number_is_refused() -> None:
    signals, agreed = traffic(100, seed=4)
    signals[7, 2] = np.nan
    with pytest.raises(ValueError, match="no finite number"):
        fit_gate(signals, SIGNALS, agreed, np.ones(len(agreed)), seed=0)
