"""What others do, in the smallest honest form of each.

Where a ranker learns, its label is *gain*: the teacher's correctness minus the student's, so 1
where asking helps, -1 where it hurts. The one setting that was looked at on reported rows is the
ridge of ``TfidfRidge`` (10 of 1, 3 and 10), in its favour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from benchmarks.frontier.ranker import Floats, NotApplicableError, right
from benchmarks.frontier.texts import question_text
from benchmarks.frontier.vectors import RememberingEncoder
from distill.streams import StreamRow

_CONFIDENCES = ("mean_logprob", "p_true_logprob")
_NEIGHBOURS = 20
_RIDGE = 10.0


def confidence(rows: Sequence[StreamRow]) -> Floats:
    """The one log-probability recorded with each draft. Raises NotApplicableError without one."""
    found = []
    for row in rows:
        evidence = {} if row.student is None else row.student.evidence
        values = [evidence[name] for name in _CONFIDENCES if name in evidence]
        if not values:
            raise NotApplicableError("no log-probability was recorded with the drafts")
        found.append(values[0])
    return np.array(found)


class MatchedRandom:
    """Escalates at random, at whatever share it is compared at: every query scores the same."""

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        """Nothing to learn."""

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        return np.zeros(len(rows))


class DomainPrior:
    """The mean gain of the row's workload, shrunk to the overall mean by ten rows' weight."""

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        names = [row.workload or "" for row in rows]
        if len(set(names)) < 2:
            raise NotApplicableError("no domain is recorded")
        student, teacher = right(rows)
        gain = teacher - student
        self._mean = float(gain.mean())
        self._of = {
            name: (
                float(sum(g for g, n in zip(gain, names, strict=True) if n == name))
                + 10 * self._mean
            )
            / (names.count(name) + 10)
            for name in set(names)
        }

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        return np.array([-self._of.get(row.workload or "", self._mean) for row in rows])


class TfidfRidge:
    """Ridge regression of the gain on words and pairs of words of the question."""

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        student, teacher = right(rows)
        words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2), min_df=2)
        self._model = make_pipeline(words, Ridge(alpha=_RIDGE))
        self._model.fit([question_text(row) for row in rows], teacher - student)

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        predicted: Floats = -self._model.predict([question_text(row) for row in rows])
        return predicted


class EncoderKnn:
    """The mean gain of the 20 nearest questions, weighted by their cosine."""

    def __init__(self, encoder: RememberingEncoder) -> None:
        self._encoder = encoder

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        student, teacher = right(rows)
        self._gain = teacher - student
        self._seen = self._encoder.encode([question_text(row) for row in rows])

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        cosine = self._encoder.encode([question_text(row) for row in rows]) @ self._seen.T
        nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :_NEIGHBOURS]
        weight = np.maximum(np.take_along_axis(cosine, nearest, axis=1), 1e-3)
        mean: Floats = (weight * self._gain[nearest]).sum(axis=1) / weight.sum(axis=1)
        return -mean


class RawConfidence:
    """The recorded log-probability as it is."""

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        confidence(rows)

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        return confidence(rows)


class IsotonicConfidence:
    """The log-probability mapped by isotonic regression to the chance that serving loses nothing.

    Few training rows make wide steps, so many queries tie: that is what it costs as a ranking.
    """

    def fit(self, rows: Sequence[StreamRow], seed: int) -> None:
        student, teacher = right(rows)
        self._model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        self._model.fit(confidence(rows), 1.0 - teacher * (1.0 - student))

    def score(self, rows: Sequence[StreamRow]) -> Floats:
        return self.probability(rows)

    def probability(self, rows: Sequence[StreamRow]) -> Floats:
        """That serving the draft loses nothing."""
        found: Floats = self._model.predict(confidence(rows))
        return found
