"""The gate over a fixed model's drafts: what it predicts, when, and how far."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policies.scoring.online import LEAST, MOST_SIGNALS, WINDOW, OnlineGate, fit


def logistic(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def test_nothing_is_said_before_enough_was_compared() -> None:
    gate = OnlineGate()
    for _ in range(LEAST - 1):
        gate.observe({"a": 1.0}, agreed=True)
        assert gate.confidence({"a": 1.0}) is None
    gate.observe({"a": 1.0}, agreed=True)
    # Never surer than so many that all agreed allow.
    assert gate.confidence({"a": 1.0}) == pytest.approx((LEAST + 0.5) / (LEAST + 1.0))


def test_it_is_as_right_as_it_says_before_each_label_and_tells_drafts_apart() -> None:
    """Prequentially, over draws of a known world, three of whose signals say nothing."""
    rng = np.random.default_rng(4)
    told, came = [], []
    for _ in range(8):
        gate = OnlineGate()
        for _ in range(600):
            x = rng.normal(size=4)
            agreed = bool(rng.random() < logistic(1.0 + 1.5 * x[0]))
            signals = {f"s{i}": float(value) for i, value in enumerate(x)}
            confidence = gate.confidence(signals)
            if confidence is not None:
                told.append(confidence)
                came.append(agreed)
            gate.observe(signals, agreed)
    sure, agreed_then = np.array(told), np.array(came, dtype=float)
    for low, high in ((0.0, 0.4), (0.4, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 1.0)):
        chosen = (sure >= low) & (sure < high)
        assert abs(agreed_then[chosen].mean() - sure[chosen].mean()) < 0.04, (low, high)
    assert agreed_then[sure > 0.9].mean() > 0.92 > 0.5 > agreed_then[sure < 0.4].mean()


def test_signals_that_say_nothing_leave_the_rate() -> None:
    rng = np.random.default_rng(1)
    gate = OnlineGate()
    for _ in range(400):
        gate.observe(
            {f"s{i}": float(x) for i, x in enumerate(rng.normal(size=8))}, rng.random() < 0.8
        )
    told = [
        gate.confidence({f"s{i}": float(x) for i, x in enumerate(rng.normal(size=8))})
        for _ in range(200)
    ]
    values = np.array(told, dtype=float)
    assert abs(values.mean() - 0.8) < 0.05
    assert values.std() < 0.1


def test_a_comparison_stands_for_as_many_as_its_propensity_says() -> None:
    """Of drafts with x = 1 a tenth is checked: by weight their rate is known as if all were."""
    rng = np.random.default_rng(2)
    weighted, counted = OnlineGate(), OnlineGate()
    for _ in range(3_000):
        sure = rng.random() < 0.5
        agreed = bool(rng.random() < (0.95 if sure else 0.5))
        propensity = 0.1 if sure else 1.0
        if rng.random() < propensity:
            weighted.observe({"one": 1.0}, agreed, propensity)
            counted.observe({"one": 1.0}, agreed)
    of_all = weighted.confidence({"one": 1.0})
    of_checked = counted.confidence({"one": 1.0})
    assert of_all is not None
    assert of_checked is not None
    assert abs(of_all - 0.725) < 0.06
    assert of_checked < 0.6


def test_a_draft_without_a_signal_that_others_have_is_not_judged() -> None:
    gate = OnlineGate()
    for i in range(100):
        gate.observe(
            {"a": float(i % 7), "seldom": 1.0} if i % 5 == 0 else {"a": float(i % 7)}, i % 7 > 3
        )
    assert gate.confidence({"a": 6.0}) is not None
    assert gate.confidence({"seldom": 1.0}) is None


def test_what_is_no_number_is_left_out_and_signals_are_bounded() -> None:
    gate = OnlineGate()
    many = {f"s{i:02}": float(i) for i in range(MOST_SIGNALS + 20)}
    for i in range(LEAST):
        gate.observe({**many, "s00": math.nan if i == 0 else float(i)}, agreed=i % 2 == 0)
    found = gate.confidence({**many, "s00": 3.0})
    assert found is not None
    assert 0.0 < found < 1.0


def test_old_comparisons_fade_when_a_model_changes() -> None:
    gate = OnlineGate()
    for _ in range(WINDOW):
        gate.observe({"a": 1.0}, agreed=True)
    for _ in range(WINDOW):
        gate.observe({"a": 1.0}, agreed=False)
    found = gate.confidence({"a": 1.0})
    assert found is not None
    assert found < 0.01
    assert len(gate) == WINDOW


def test_the_same_comparisons_make_the_same_gate() -> None:
    rng = np.random.default_rng(3)
    rows = [
        ({"a": float(rng.normal()), "b": float(rng.normal())}, bool(rng.random() < 0.7))
        for _ in range(200)
    ]
    gates = OnlineGate(), OnlineGate()
    for gate in gates:
        for signals, agreed in rows:
            gate.observe(signals, agreed)
    assert gates[0].confidence(rows[0][0]) == gates[1].confidence(rows[0][0])


def test_signals_that_separate_perfectly_keep_their_weights_finite() -> None:
    gate = OnlineGate()
    for i in range(200):
        gate.observe({"a": float(i % 2), "constant": 3.0}, agreed=bool(i % 2))
    sure, unsure = (gate.confidence({"a": a, "constant": 3.0}) for a in (1.0, 0.0))
    assert sure is not None
    assert unsure is not None
    assert sure > 0.97
    assert sure <= 200.5 / 201.0
    assert unsure < 0.03


def test_it_is_fitted_elsewhere_once_for_all_and_read_when_it_is_done() -> None:
    gate = OnlineGate()
    for n in range(LEAST):
        assert gate.take_due() is None
        gate.observe({"a": float(n % 2)}, agreed=True)
    due = gate.take_due()
    assert due is not None
    assert len(due) == LEAST
    gate.put(fit(due))
    assert gate.take_due() is None
    before = gate.confidence({"a": 1.0})
    for _ in range(LEAST // 20 + 1):
        gate.observe({"a": 1.0}, agreed=False)
    again = gate.take_due()
    assert again is not None
    assert gate.take_due() is None  # somebody has it
    assert gate.confidence({"a": 1.0}) == before
    gate.put(fit(again))
    after = gate.confidence({"a": 1.0})
    assert before is not None
    assert after is not None
    assert after < before
