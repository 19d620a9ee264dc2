"""Fit a gate on held-out drafts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold

from policies.scoring.gate import Gate, risk_curve

Floats = NDArray[np.float64]

_FOLDS = 5


class NothingToCalibrate(ValueError):
    """No draft agrees with the teacher: there is no gate for such a student."""


def fit_gate(
    signals: Floats,
    names: Sequence[str],
    agreed: NDArray[np.bool_],
    weights: Floats,
    seed: int,
) -> Gate:
    """Fit the gate that predicts held-out agreement best, in doubt the one-signal one.

    ``signals``: shape (rows, len(names)), measured on drafts made without the row itself, the raw
    confidence first; ``agreed``: the draft agreed with the teacher; ``weights``: 1/propensity of
    each row being seen. The richer gate ships only where its cross-validated log-loss is lower
    than that of the raw confidence. Where all drafts agree, one more is imagined that was the
    least sure of all and wrong. Raises NothingToCalibrate where all disagree.
    """
    if not agreed.any():
        raise NothingToCalibrate("no draft agrees with the teacher yet")
    if agreed.all():
        signals = np.vstack([signals, signals[np.argmin(signals[:, 0])]])
        agreed = np.append(agreed, False)
        weights = np.append(weights, weights.mean())
    raw = [0]
    candidates = [raw, list(range(len(names)))]
    few = int(min(agreed.sum(), (~agreed).sum()))
    columns = raw
    if few >= 4 * _FOLDS and len(names) > 1:
        losses = [_held_out_loss(signals[:, c], agreed, weights, seed) for c in candidates]
        columns = candidates[int(np.argmin(losses))]
    chosen = signals[:, columns]
    mean, scale = chosen.mean(axis=0), chosen.std(axis=0) + 1e-9
    model = LogisticRegression(max_iter=1000).fit(
        (chosen - mean) / scale, agreed, sample_weight=weights
    )
    confidence = model.predict_proba((chosen - mean) / scale)[:, 1]
    score, over_all, over_served = risk_curve(confidence, weights)
    return Gate(
        signals=tuple(names[c] for c in columns),
        mean=mean,
        scale=scale,
        weights=np.asarray(model.coef_[0], dtype=np.float64),
        bias=float(model.intercept_[0]),
        curve_score=score,
        curve_all=over_all,
        curve_served=over_served,
    )


def _held_out_loss(columns: Floats, agreed: NDArray[np.bool_], weights: Floats, seed: int) -> float:
    total = 0.0
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(
        columns, agreed
    ):
        mean, scale = columns[train].mean(axis=0), columns[train].std(axis=0) + 1e-9
        model = LogisticRegression(max_iter=1000).fit(
            (columns[train] - mean) / scale, agreed[train], sample_weight=weights[train]
        )
        predicted = model.predict_proba((columns[test] - mean) / scale)[:, 1]
        total += log_loss(agreed[test], predicted, sample_weight=weights[test], labels=[0, 1])
    return total / _FOLDS
