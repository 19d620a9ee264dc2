"""Several weak views of a query and its draft, added up.

The views are ridge regressions of the gain (the teacher's correctness minus the student's): on the
question's words, on its vector, and on signals of the draft: the recorded log-probability, checks
of arithmetic, checks of tool calls. Without a log-probability all are added up as they are. Beside
one, which is hard to beat with a few hundred rows, another view has to prove itself on predictions
of training rows that it wasn't fitted on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline

from benchmarks.frontier.baselines import confidence
from benchmarks.frontier.ranker import Floats, NotApplicableError, right
from benchmarks.frontier.texts import called_tools, draft_text, offered_tools, question_text
from benchmarks.frontier.vectors import RememberingEncoder
from distill.streams import StreamRow
from router.evidence.measure import measure_draft

_FOLDS = 5
_STANDARD_ERRORS = 2.0
_WORKED_WORDS = 20
"""Drafts with at least so many words, in the median, are read as worked solutions."""

Predictor = Callable[[Sequence[StreamRow]], Floats]
View = Callable[[Sequence[StreamRow], Floats], Predictor]


class StackedGain:
    """Scores by the predicted gain, negated."""

    def __init__(self, encoder: RememberingEncoder) -> None:
        self._encoder = encoder
        self._checked: dict[str, dict[str, float]] = {}

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        student, teacher = right(rows)
        gain = teacher - student
        views = [*self._signal_views(rows), self._words, self._vector]
        self._weights = np.ones(len(views))
        if self._has_confidence(rows):
            self._weights = choose_views(_predict_unseen(views, rows, gain, seed), gain)
        self._predictors = [view(rows, gain) for view in views]

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        views = np.column_stack([predictor(rows) for predictor in self._predictors])
        predicted: Floats = -views @ self._weights
        return predicted

    def _words(self, rows: Sequence[StreamRow], gain: Floats) -> Predictor:
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
        model = make_pipeline(words, Ridge(alpha=10.0))
        model.fit([question_text(row) for row in rows], gain)
        return lambda unseen: model.predict([question_text(row) for row in unseen])

    def _vector(self, rows: Sequence[StreamRow], gain: Floats) -> Predictor:
        model = Ridge(alpha=5.0).fit(self._question_vectors(rows), gain)
        return lambda unseen: model.predict(self._question_vectors(unseen))

    def _signal_views(self, rows: Sequence[StreamRow]) -> list[View]:
        """One view for each kind of signal that these rows have."""
        kinds: list[Callable[[Sequence[StreamRow]], Floats]] = []
        if self._has_confidence(rows):
            known = np.sort(confidence(rows))
            kinds.append(lambda some: _ranks(confidence(some), known))
        if any(row.body.get("tools") for row in rows):
            kinds.append(self._call_signals)
        elif np.median([len(draft_text(row).split()) for row in rows]) >= _WORKED_WORDS:
            kinds.append(self._arithmetic_signals)
        return [partial(_fit_signals, kind) for kind in kinds]

    def _has_confidence(self, rows: Sequence[StreamRow]) -> bool:
        try:
            confidence(rows)
        except NotApplicableError:
            return False
        return True

    def _call_signals(self, rows: Sequence[StreamRow]) -> Floats:
        checks = self._check(rows, "call_")
        texts = [text for row in rows for text in offered_tools(row).values()]
        vector = dict(zip(texts, self._encoder.encode(texts), strict=True))
        near = []
        for row, question in zip(rows, self._question_vectors(rows), strict=True):
            cosine = {n: float(vector[t] @ question) for n, t in offered_tools(row).items()}
            called = [cosine[name] for name in called_tools(row) if name in cosine]
            best = max(cosine.values(), default=0.0)
            near.append(
                [
                    min(called, default=best),
                    best - max(called, default=0.0),
                    best,
                    0.0 if called else best,
                ]
            )
        return np.hstack([checks, near])

    def _arithmetic_signals(self, rows: Sequence[StreamRow]) -> Floats:
        return self._check(rows, "q_", "d_")

    def _check(self, rows: Sequence[StreamRow], *kinds: str) -> Floats:
        """Checks of every row; each draft is checked once, though folds come back to it."""
        keys = [json.dumps([row.body, draft_text(row)]) for row in rows]
        for key, row in zip(keys, rows, strict=True):
            if key not in self._checked:
                self._checked[key] = _read_signals(row, kinds)
        names = sorted(set().union(*(self._checked[key] for key in keys)))
        return np.array([[self._checked[key].get(name, 0.0) for name in names] for key in keys])

    def _question_vectors(self, rows: Sequence[StreamRow]) -> Floats:
        return self._encoder.encode([question_text(row) for row in rows])


def _read_signals(row: StreamRow, kinds: tuple[str, ...]) -> dict[str, float]:
    """The product's own signals of a draft, those whose names begin so."""
    if row.student is None:
        return {}
    signals = measure_draft(row.body, row.student.answer)
    return {name: value for name, value in signals.items() if name.startswith(kinds)}


def _predict_unseen(
    views: Sequence[View], rows: Sequence[StreamRow], gain: Floats, seed: int
) -> Floats:
    """Each view's predictions, shape (n, k), of rows that it wasn't fitted on."""
    unseen = np.zeros((len(rows), len(views)))
    folds = KFold(_FOLDS, shuffle=True, random_state=seed)
    for learn, predict in folds.split(unseen):
        for j, view in enumerate(views):
            predictor = view([rows[int(i)] for i in learn], gain[learn])
            unseen[predict, j] = predictor([rows[int(i)] for i in predict])
    return unseen


def choose_views(unseen: Floats, gain: Floats) -> Floats:
    """1.0 for every view to be added up, 0.0 for the others; ``unseen`` has shape (n, k).

    The first is always in. Another is where least squares of the gain on all views' predictions
    gives it a coefficient of at least two standard errors. Fitted weights instead of equal ones
    were tried: on a few hundred rows they cost more than they gain.
    """
    views = unseen - unseen.mean(axis=0)
    # An ounce of ridge keeps a constant view from making the system singular.
    inverse = np.linalg.inv(views.T @ views + 1e-9 * np.eye(views.shape[1]))
    coefficient = inverse @ views.T @ (gain - gain.mean())
    left = gain - gain.mean() - views @ coefficient
    noise = left @ left / max(1, len(gain) - views.shape[1] - 1)
    chosen: Floats = (coefficient >= _STANDARD_ERRORS * np.sqrt(noise * np.diag(inverse))).astype(
        float
    )
    chosen[0] = 1.0
    return chosen


def _ranks(values: Floats, known: Floats) -> Floats:
    """The share of ``known`` below each value, interpolated, so that the order is kept; (n, 1)."""
    position = np.interp(values, known, np.linspace(0, 1, len(known)))
    beyond = np.maximum(values - known[-1], 0) + np.minimum(values - known[0], 0)
    ranks: Floats = (position + 1e-3 * beyond)[:, None]
    return ranks


def _fit_signals(
    read: Callable[[Sequence[StreamRow]], Floats], rows: Sequence[StreamRow], gain: Floats
) -> Predictor:
    signals = read(rows)
    mean, spread = signals.mean(axis=0), np.maximum(signals.std(axis=0), 1e-9)
    # A count far out of the usual says no more than that it is: three deviations are enough.
    model = Ridge(alpha=30.0).fit(np.clip((signals - mean) / spread, -3, 3), gain)
    return lambda unseen: model.predict(np.clip((read(unseen) - mean) / spread, -3, 3))
