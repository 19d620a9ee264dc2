"""Fit what a question's words tell about how hard it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from policies.scoring.words import PLACES, Floats, Words, read_words

_FREEDOM = 3.0
_FOLDS = 5


def fit_words(
    questions: Sequence[str], lost: Floats, weights: Floats, seed: int
) -> tuple[Words, Floats]:
    """The model over all questions, and of every question what one without its fold says of it.

    ``lost``: what a draft lost against the teacher, the greater the harder; shapes (questions,).
    """
    read = _to_matrix(questions)
    held_out = np.empty(len(lost))
    for train, test in KFold(_FOLDS, shuffle=True, random_state=seed).split(lost):
        model = _fit(read[train], lost[train], weights[train])
        held_out[test] = model.predict(read[test])
    whole = _fit(read, lost, weights)
    return Words(weights=np.asarray(whole.coef_), bias=float(whole.intercept_)), held_out


def _fit(read: csr_matrix, lost: Floats, weights: Floats) -> Ridge:
    return Ridge(alpha=_FREEDOM).fit(read, lost, sample_weight=weights)


def _to_matrix(questions: Sequence[str]) -> csr_matrix:
    places: list[int] = []
    values: list[float] = []
    ends = [0]
    for question in questions:
        words = read_words(question)
        places += words.keys()
        values += words.values()
        ends.append(len(places))
    return csr_matrix((values, places, ends), shape=(len(questions), PLACES))
