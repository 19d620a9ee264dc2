"""Is the candidate's gate as right as it says? Thresholds are predictions made by it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from distill.dataset import Dataset
from distill.promote import MARGIN, Rung, Verdict, threshold_at_promise
from distill.train.kernel_head import Trained
from policies.promise.certificate import Terms

Floats = NDArray[np.float64]

_Z95 = 1.96


def check_calibration(dataset: Dataset, trained: Trained, terms: Terms) -> Rung:
    """Held-out drafts agree with the teacher as often as the gate said, over all of them and over
    those that it would serve at the promised risk. Too doubtful costs calls; too sure fails, where
    it is so by more than the margin beyond chance.

    ``difference``: agreement minus confidence, of the worse of the two.
    """
    right = trained.held_out == dataset.classes
    threshold = threshold_at_promise(trained.gate.thresholds, terms)
    served = trained.confidence >= threshold
    weights = dataset.weights
    asked = 1.0 - float(weights[served].sum() / weights.sum())
    parts = [("all drafts", np.ones(len(right), dtype=np.bool_)), ("drafts to be served", served)]
    measured = [
        (name, *_measure(right[rows], trained.confidence[rows], weights[rows]))
        for name, rows in parts
        if rows.any()
    ]
    name, mean, half, count = min(measured, key=lambda one: one[1] + one[2])
    low, high = mean - half, mean + half
    figures = f"{100 * mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}) over {name}"
    cost = f"; at the promised risk it would ask the teacher about {asked:.0%}."
    verdict: Verdict
    if high < -MARGIN:
        verdict, said = "failed", f"Its gate is surer than it is right: {figures}{cost}"
    elif low > -MARGIN:
        verdict, said = "passed", f"Its gate is as right as it says: {figures}{cost}"
    else:
        verdict, said = (
            "skipped",
            f"Too few questions to tell whether it is too sure: {figures}{cost}",
        )
    return Rung(
        name="calibration",
        verdict=verdict,
        sentence=said,
        questions=count,
        difference=mean,
        low=low,
        high=high,
    )


def _measure(
    right: NDArray[np.bool_], confidence: Floats, weights: Floats
) -> tuple[float, float, int]:
    """Mean of agreement minus confidence, the half width of its 95 % interval, how many."""
    gap = right.astype(float) - confidence
    total = weights.sum()
    mean = float((weights * gap).sum() / total)
    spread = float(np.sqrt((weights**2 * (gap - mean) ** 2).sum()) / total)
    # Rows that are all right don't prove that all are, as in the paired comparison.
    half = max(_Z95 * spread, 3.0 * float((weights**2).sum() / total**2))
    return mean, half, len(right)
