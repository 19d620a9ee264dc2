"""Fit a gate on held-out drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.model_selection import StratifiedKFold

from policies.fit.candidates import CANDIDATES, Bools, Candidate
from policies.scoring.gate import Gate, risk_curve
from policies.scoring.scorers import Floats

_FOLDS = 5


class NothingToCalibrate(ValueError):
    """No draft agrees with the teacher: there is no gate for such a student."""


@dataclass(frozen=True, kw_only=True)
class FittedGate:
    """``gate``, and which candidate it is by ``name``; ``held_out``: of every row, the confidence
    of a gate of that kind that was fitted without the row (where there are too few rows for that,
    the gate's own, which reads one signal); ``losses``: held-out log-loss by candidate."""

    gate: Gate
    name: str
    held_out: Floats
    losses: dict[str, float]


def fit_gate(
    signals: Floats,
    names: Sequence[str],
    agreed: Bools,
    weights: Floats,
    seed: int,
    *,
    has_raw: bool = True,
) -> FittedGate:
    """Fit the candidate that predicts held-out agreement best, in doubt the raw confidence.

    ``signals``: shape (rows, len(names)), measured on drafts made without the row itself, the raw
    confidence first; ``agreed``: the draft agreed with the teacher; ``weights``: 1/propensity of
    each row being seen. Another candidate ships only where its cross-validated log-loss is lower
    than that of the raw confidence by more than the standard error of the difference. Where all
    drafts agree, one more is imagined that was the least sure of all and wrong. Without
    ``has_raw`` no signal is a confidence, and the candidates that read one alone stand back. Raises
    NothingToCalibrate where all disagree, or without a confidence too few do or don't.
    """
    if not agreed.any():
        raise NothingToCalibrate("no draft agrees with the teacher yet")
    if not has_raw and min(agreed.sum(), (~agreed).sum()) < 4 * _FOLDS:
        raise NothingToCalibrate(
            "the drafts carry no confidence, and to judge them without one takes "
            f"{4 * _FOLDS} that agree with the teacher and as many that don't"
        )
    if not np.isfinite(signals).all():
        raise ValueError("a signal is no finite number")
    rows = len(agreed)
    if agreed.all():
        signals = np.vstack([signals, signals[np.argmin(signals[:, 0])]])
        agreed = np.append(agreed, False)
        weights = np.append(weights, weights.mean())
    # What is passed on is finite and of the right kind; to check it at every tree takes longer than
    # to grow the tree.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        chosen, held_out, losses = _compete(signals, agreed, weights, seed, has_raw)
        columns = _columns_of(chosen, signals)
        scorer = chosen.fit(signals[:, columns], agreed, weights, seed)
    if held_out is None:
        held_out = scorer.probabilities(signals[:, columns])
    score, over_all, over_served = risk_curve(held_out, weights)
    gate = Gate(
        signals=tuple(names[c] for c in columns),
        scorer=scorer,
        curve_score=score,
        curve_all=over_all,
        curve_served=over_served,
    )
    return FittedGate(gate=gate, name=chosen.name, held_out=held_out[:rows], losses=losses)


def _compete(
    signals: Floats, agreed: Bools, weights: Floats, seed: int, has_raw: bool
) -> tuple[Candidate, Floats | None, dict[str, float]]:
    """The winner with its held-out confidences, None where there are too few rows to hold out."""
    first, *others = [one for one in CANDIDATES if has_raw or not one.raw]
    if min(agreed.sum(), (~agreed).sum()) < 4 * _FOLDS:
        return first, None, {}
    winner, best = first, _predict(first, signals, agreed, weights, seed)
    first_loss = _losses_of(best, agreed)
    losses = {first.name: float(np.average(first_loss, weights=weights))}
    for candidate in others:
        if len(agreed) < candidate.least_rows or (not candidate.raw and signals.shape[1] == 1):
            continue
        held_out = _predict(candidate, signals, agreed, weights, seed)
        loss = _losses_of(held_out, agreed)
        losses[candidate.name] = float(np.average(loss, weights=weights))
        gain = first_loss - loss
        mean = np.average(gain, weights=weights)
        error = np.sqrt((weights**2 * (gain - mean) ** 2).sum()) / weights.sum()
        if mean > error and losses[candidate.name] < losses[winner.name]:
            winner, best = candidate, held_out
    return winner, best, losses


def _predict(
    candidate: Candidate, signals: Floats, agreed: Bools, weights: Floats, seed: int
) -> Floats:
    """Every row's confidence from the folds without it."""
    columns = signals[:, _columns_of(candidate, signals)]
    held_out = np.empty(len(agreed))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(columns, agreed):
        scorer = candidate.fit(columns[train], agreed[train], weights[train], seed)
        held_out[test] = scorer.probabilities(columns[test])
    return held_out


def _columns_of(candidate: Candidate, signals: Floats) -> list[int]:
    return [0] if candidate.raw else list(range(signals.shape[1]))


def _losses_of(confidence: Floats, agreed: Bools) -> Floats:
    loss: Floats = -np.log(np.clip(np.where(agreed, confidence, 1.0 - confidence), 1e-12, 1.0))
    return loss
