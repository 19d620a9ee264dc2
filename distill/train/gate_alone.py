"""Learn only the gate, over a student whose drafts come from elsewhere.

Such a student isn't trained here, so each of its drafts is held out by nature.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from distill.dataset import Dataset
from distill.train.kernel_head import Trained
from policies.fit.gate import NothingToCalibrate, fit_gate
from router.evidence.measure import SHAPE
from router.students.recall import RECALLED

RAW_CONFIDENCES = ("p_true_logprob", "mean_logprob")
"""Signals that are a student's own confidence, the better one first."""

_COMMON = 0.9
"""A signal that so large a share of the drafts has may be read; drafts without it are escalated."""


def choose_signals(evidence: Sequence[Mapping[str, float]]) -> tuple[list[str], bool]:
    """The signals that a gate over such drafts may read, and whether the first is a confidence."""
    counts = Counter(name for signals in evidence for name in signals)
    names = sorted(name for name, count in counts.items() if count >= _COMMON * len(evidence))
    raw = next((name for name in RAW_CONFIDENCES if name in names), None)
    if raw is None:
        return names, False
    # Beside a confidence, size predicts which drafts repeat the teacher's words, and short ones do:
    # such a gate would agree more and know less (benchmarks.frontier.sidebyside).
    return [raw, *(name for name in names if name not in (raw, *SHAPE))], True


def train_gate(dataset: Dataset, *, seed: int) -> Trained:
    """Fit the gate on the evidence that came with the drafts.

    Raises NothingToCalibrate where drafts carry none, or as ``fit_gate`` does.
    """
    compared = [
        (i, question.row.evidence)
        for i, question in enumerate(dataset.questions)
        if question.row.draft_agreed is not None
        and question.row.evidence
        and RECALLED not in question.row.evidence
    ]
    names, has_raw = choose_signals([evidence for _, evidence in compared])
    if not names:
        raise NothingToCalibrate("the drafts carry no evidence that a gate could read")
    drafted = [i for i, evidence in compared if set(names) <= evidence.keys()]
    evidence = [dataset.questions[i].row.evidence for i in drafted]
    signals = np.asarray([[given[name] for name in names] for given in evidence])
    agreed = np.asarray([bool(dataset.questions[i].row.draft_agreed) for i in drafted])
    fitted = fit_gate(signals, names, agreed, dataset.weights[drafted], seed, has_raw=has_raw)
    held_out = np.full(len(dataset.questions), -1, dtype=np.intp)
    right = np.asarray(drafted)[agreed]
    held_out[right] = dataset.classes[right]
    confidence = np.zeros(len(dataset.questions))
    confidence[drafted] = fitted.held_out
    return Trained(
        student=None,
        gate=fitted.gate,
        held_out=held_out,
        confidence=confidence,
        report={"gate": fitted.name, "losses": fitted.losses},
    )
