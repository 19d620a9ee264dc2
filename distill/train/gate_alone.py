"""Learn only the gate, over a student whose drafts come from elsewhere.

Such a student isn't trained here, so each of its drafts is held out by nature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from distill.dataset import Dataset
from distill.train.kernel_head import Trained
from policies.fit.candidates import Bools
from policies.fit.gate import FittedGate, NothingToCalibrate, fit_gate
from policies.scoring.scorers import Floats
from policies.scoring.words import DIFFICULTY
from router.evidence.measure import SHAPE, last_question
from router.generative.rung import is_students_own

RAW_CONFIDENCES = ("p_true_logprob", "mean_logprob")
"""Signals that are a student's own confidence, the better one first."""

_COMMON = 0.9
"""A signal that so large a share of the drafts has may be read; drafts without it are escalated."""


def choose_signals(evidence: Sequence[Mapping[str, float]]) -> tuple[list[str], bool]:
    """The signals that a gate over such drafts may read, and whether the first is a confidence."""
    # What an earlier gate made of the words is its own.
    counts = Counter(name for signals in evidence for name in signals if name != DIFFICULTY)
    names = sorted(name for name, count in counts.items() if count >= _COMMON * len(evidence))
    raw = next((name for name in RAW_CONFIDENCES if name in names), None)
    if raw is None:
        return names, False
    # Beside a confidence, size predicts which drafts repeat the teacher's words, and short ones do:
    # such a gate would agree more and know less (benchmarks.frontier.sidebyside).
    return [raw, *(name for name in names if name not in (raw, *SHAPE))], True


@dataclass(frozen=True, kw_only=True)
class FittedOver:
    """``used``: which of the given drafts carried every signal, as indices; ``fitted``: the gate
    over those, in that order."""

    used: list[int]
    fitted: FittedGate


def fit_over(
    evidence: Sequence[Mapping[str, float]],
    agreed: Bools,
    weights: Floats,
    *,
    seed: int,
    questions: Sequence[str] | None = None,
) -> FittedOver:
    """Fit a gate on judged drafts: shapes (drafts,); ``questions``: as ``fit_gate`` reads them.

    Raises NothingToCalibrate where drafts carry no evidence, or as ``fit_gate`` does.
    """
    names, has_raw = choose_signals(evidence)
    if not names:
        raise NothingToCalibrate("the drafts carry no evidence that a gate could read")
    used = [i for i, given in enumerate(evidence) if set(names) <= given.keys()]
    signals = np.asarray([[evidence[i][name] for name in names] for i in used])
    asked = None if questions is None else [questions[i] for i in used]
    fitted = fit_gate(
        signals, names, agreed[used], weights[used], seed, has_raw=has_raw, questions=asked
    )
    return FittedOver(used=used, fitted=fitted)


def train_gate(dataset: Dataset, *, seed: int) -> Trained:
    """Fit the gate on the evidence that came with the drafts. Raises as ``fit_over`` does."""
    compared = [
        i
        for i, question in enumerate(dataset.questions)
        if question.row.draft_agreed is not None
        and question.row.evidence
        and is_students_own(question.row.evidence)
    ]
    evidence = [dataset.questions[i].row.evidence for i in compared]
    agreed = np.asarray([bool(dataset.questions[i].row.draft_agreed) for i in compared], np.bool_)
    asked = [last_question(dataset.questions[i].row.request or {}) for i in compared]
    over = fit_over(evidence, agreed, dataset.weights[compared], seed=seed, questions=asked)
    drafted = np.asarray(compared)[over.used]
    held_out = np.full(len(dataset.questions), -1, dtype=np.intp)
    right = drafted[agreed[over.used]]
    held_out[right] = dataset.classes[right]
    confidence = np.zeros(len(dataset.questions))
    confidence[drafted] = over.fitted.held_out
    return Trained(
        student=None,
        gate=over.fitted.gate,
        held_out=held_out,
        confidence=confidence,
        report={"gate": over.fitted.name, "losses": over.fitted.losses},
    )
