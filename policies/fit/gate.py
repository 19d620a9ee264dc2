"""Fit a gate on held-out drafts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn import config_context
from sklearn.model_selection import StratifiedKFold

from policies.fit.candidates import CANDIDATES, Bools, Candidate
from policies.fit.words import fit_words
from policies.scoring.gate import Gate, risk_curve
from policies.scoring.scorers import Floats
from policies.scoring.words import DIFFICULTY, Words

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
    questions: Sequence[str] | None = None,
    lost: Floats | None = None,
) -> FittedGate:
    """Fit the candidate that predicts held-out agreement best, in doubt the raw confidence.

    ``signals``: shape (rows, len(names)), measured on drafts made without the row itself, the raw
    confidence first; ``agreed``: the draft agreed with the teacher; ``weights``: 1/propensity of
    each row being seen. Another candidate ships only where its cross-validated log-loss is lower
    than that of the raw confidence by more than the standard error of the difference. Where all
    drafts agree, one more is imagined that was the least sure of all and wrong. Without
    ``has_raw`` no signal is a confidence, and the candidates that read one alone stand back.

    ``questions``: what was asked, whose words are read where no confidence is (beside one they say
    nothing more: benchmarks.frontier.sidebyside). ``lost``: what each draft lost against the
    teacher where that is known, -1 to 1, by which the candidates are then judged; else a draft that
    disagrees has lost 1. Raises NothingToCalibrate where all disagree, or without a confidence too
    few do or don't.
    """
    _check(signals, agreed, has_raw)
    rows = len(agreed)
    if agreed.all():
        signals = np.vstack([signals, signals[np.argmin(signals[:, 0])]])
        agreed = np.append(agreed, False)
        weights = np.append(weights, weights.mean())
    # What is passed on is finite and of the right kind; to check it at every tree takes longer than
    # to grow the tree.
    with config_context(assume_finite=True, skip_parameter_validation=True):
        read = None if has_raw else questions
        judged = _put_together(signals, agreed, weights, read, None if has_raw else lost, seed)
        chosen, held_out, losses = _compete(judged, seed, has_raw)
        columns = judged.columns_of(chosen)
        scorer = chosen.fit(judged.signals[:, columns], agreed, judged.lost, weights, seed)
    if held_out is None:
        held_out = scorer.probabilities(judged.signals[:, columns])
    score, over_all, over_served = risk_curve(held_out, weights)
    gate = Gate(
        signals=tuple([*names, DIFFICULTY][c] for c in columns),
        scorer=scorer,
        curve_score=score,
        curve_all=over_all,
        curve_served=over_served,
        words=judged.words if chosen.words else None,
    )
    return FittedGate(gate=gate, name=chosen.name, held_out=held_out[:rows], losses=losses)


def _check(signals: Floats, agreed: Bools, has_raw: bool) -> None:
    if not agreed.any():
        raise NothingToCalibrate("no draft agrees with the teacher yet")
    if not has_raw and min(agreed.sum(), (~agreed).sum()) < 4 * _FOLDS:
        raise NothingToCalibrate(
            "the drafts carry no confidence, and to judge them without one takes "
            f"{4 * _FOLDS} that agree with the teacher and as many that don't"
        )
    if not np.isfinite(signals).all():
        raise ValueError("a signal is no finite number")


@dataclass(frozen=True, kw_only=True)
class _Judged:
    """What candidates are fitted on; ``words``: what the last signal, the difficulty, was made by;
    ``by_lost``: they are judged by how well they tell what is lost."""

    signals: Floats
    agreed: Bools
    lost: Floats
    weights: Floats
    words: Words | None
    by_lost: bool

    def columns_of(self, candidate: Candidate) -> list[int]:
        """Which signals it reads."""
        if candidate.raw:
            return [0]
        count = self.signals.shape[1]
        return list(range(count if candidate.words or self.words is None else count - 1))

    def can_take(self, candidate: Candidate, has_raw: bool) -> bool:
        """Whether it has what it reads, and what the others don't."""
        if candidate.words:
            return self.words is not None
        return has_raw if candidate.raw else len(self.columns_of(candidate)) > 1 or not has_raw

    def losses_of(self, confidence: Floats) -> Floats:
        """How badly held-out confidences do, row by row: log-loss, or what is left of ``lost``
        beside the straight line through it that suits them best."""
        if not self.by_lost:
            right = np.where(self.agreed, confidence, 1.0 - confidence)
            loss: Floats = -np.log(np.clip(right, 1e-12, 1.0))
            return loss
        line = np.polynomial.Polynomial.fit(confidence, self.lost, 1, w=np.sqrt(self.weights))
        left: Floats = (self.lost - line(confidence)) ** 2
        return left


def _put_together(
    signals: Floats,
    agreed: Bools,
    weights: Floats,
    questions: Sequence[str] | None,
    lost: Floats | None,
    seed: int,
) -> _Judged:
    what = (~agreed).astype(np.float64) if lost is None else lost
    words = None
    if questions is not None:
        words, difficulty = fit_words(questions, what, weights, seed)
        signals = np.column_stack([signals, difficulty])
    return _Judged(
        signals=signals,
        agreed=agreed,
        lost=what,
        weights=weights,
        words=words,
        by_lost=lost is not None and words is not None,
    )


def _compete(
    judged: _Judged, seed: int, has_raw: bool
) -> tuple[Candidate, Floats | None, dict[str, float]]:
    """The winner with its held-out confidences, None where there are too few rows to hold out."""
    agreed, weights = judged.agreed, judged.weights
    able = [one for one in CANDIDATES if judged.can_take(one, has_raw)]
    # Where more is known than agreement, the one that learns it is the one to beat.
    first, *others = sorted(able, key=lambda one: not one.words) if judged.by_lost else able
    if min(agreed.sum(), (~agreed).sum()) < 4 * _FOLDS:
        return first, None, {}
    winner, best = first, _predict(first, judged, seed)
    first_loss = judged.losses_of(best)
    losses = {first.name: float(np.average(first_loss, weights=weights))}
    for candidate in others:
        if len(agreed) < candidate.least_rows:
            continue
        held_out = _predict(candidate, judged, seed)
        loss = judged.losses_of(held_out)
        losses[candidate.name] = float(np.average(loss, weights=weights))
        gain = first_loss - loss
        mean = np.average(gain, weights=weights)
        error = np.sqrt((weights**2 * (gain - mean) ** 2).sum()) / weights.sum()
        if mean > error and losses[candidate.name] < losses[winner.name]:
            winner, best = candidate, held_out
    return winner, best, losses


def _predict(candidate: Candidate, judged: _Judged, seed: int) -> Floats:
    """Every row's confidence from the folds without it."""
    columns, agreed = judged.signals[:, judged.columns_of(candidate)], judged.agreed
    held_out = np.empty(len(agreed))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed)
    for train, test in folds.split(columns, agreed):
        scorer = candidate.fit(
            columns[train], agreed[train], judged.lost[train], judged.weights[train], seed
        )
        held_out[test] = scorer.probabilities(columns[test])
    return held_out
