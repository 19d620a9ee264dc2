"""Learn only the gate, over a student whose drafts come from elsewhere.

Such a student isn't trained here, so each of its drafts is held out by nature.
"""

from __future__ import annotations

import numpy as np

from distill.dataset import Dataset
from distill.train.kernel_head import Trained
from policies.fit.gate import NothingToCalibrate, fit_gate


def train_gate(dataset: Dataset, *, seed: int) -> Trained:
    """Fit the gate on the evidence that was recorded with the drafts.

    The signals are those that every draft with any evidence has, the raw confidence first by the
    alphabet. Raises NothingToCalibrate where drafts carry none, or as ``fit_gate`` does.
    """
    drafted = [
        i
        for i, question in enumerate(dataset.questions)
        if question.row.draft_agreed is not None and question.row.evidence
    ]
    evidence = [dataset.questions[i].row.evidence for i in drafted]
    names = sorted(set.intersection(*(set(signals) for signals in evidence))) if evidence else []
    if not names:
        raise NothingToCalibrate("the drafts carry no evidence that a gate could read")
    signals = np.asarray([[given[name] for name in names] for given in evidence])
    agreed = np.asarray([bool(dataset.questions[i].row.draft_agreed) for i in drafted])
    fitted = fit_gate(signals, names, agreed, dataset.weights[drafted], seed)
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
