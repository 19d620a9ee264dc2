"""Which of the teacher's older answers still stand after a change, as its newer ones tell.

Every newer answer is held against the older question that is nearest to its own. Three things can
come of it: it is the same answer; it is another, *in the place* of the older (no newer question
that was answered like it is nearer); or another *beside* the older (such a one is nearer). A new
intent lies beside the old ones, mostly; a label that the teacher has renamed lies among its older
questions, and its newer ones are mostly nearest to those.

θ is the share of an older label's answers that still stand, p the chance that the newer answer is
the same if all stand, n the label's older questions, m the other newer questions answered like it:

    the same   θ·p
    in place   (1 − θ)·(1 − r) + θ·(1 − p)·(1 − t)     r = m / (m + n), as among equals
    beside     (1 − θ)·r + θ·(1 − p)·t                 t = 3/4 · m / (m + 1), as among its own kind

p is fitted to the older answers alone. Each is held against its nearest one, and against the
nearest one of another label, as if it were of an intent never seen before. That counts for the
share of newer answers that no older one gave, half at least, nine tenths at most. So p is the base
rate of agreement at such a distance, noise and new intents in it.

A priori all of a label's answers stand (θ = 1) with probability 1 − c, and with c any share does.
c, of all labels alike, is estimated from them (empirical Bayes, Robbins 1956), beginning at one in
ten: where a third of the labels were renamed, those of which nothing new was heard lose trust, too.
The posterior mean of θ is the chance that an answer of the label stands.

Trust is what follows for learning. A target that may be another varies by about 1 − θ beside the
noise λ of any, so an answer has the weight λ / (λ + 1 − θ) of a certain one, λ = 0.1 being the
middle of those that the student tries. Where nothing stands that is ``OLD_TRUST``, the least.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from distill.dataset.model import Dataset
from distill.drift import OLD_TRUST
from policies.fit.candidates import fit_logistic
from policies.scoring.scorers import Floats, Logistic

Vectors = NDArray[np.float32]
Labels = NDArray[np.int32]

_NEIGHBOURS = 7
_KIN = 0.75
"""Share of questions that have one of their own kind nearest where it has very many: of the bank's
messages four in five have."""

_STRANGERS = (0.5, 0.9)
"""Least and most of what comes that is taken for new intents: a teacher that renamed all labels
would else look like nothing but those."""

_CHANGED, _LABELS = 0.1, 10.0
"""c before anything was heard, and how many labels that counts for."""

_NOISE = 0.1
"""λ."""

_ROUNDS = 30
_SHARES = np.linspace(0.0, 1.0, 41)
_LEAST = 1e-6
"""Likelihood that nothing falls below: no single answer decides."""

_NOWHERE = -1.0
_BLOCK = 512
"""Questions compared at once with all others: bounds the memory."""


LeftOut = Literal["nothing", "itself", "its label"]


@dataclass(frozen=True, kw_only=True)
class _Nearest:
    """Of questions held against older ones: the nearest one's ``label`` and ``similarity``; and the
    ``signs`` that the answer is the same: similarity, how much nearer it is than the next label,
    and its label's share of the seven nearest."""

    label: Labels
    similarity: NDArray[np.float32]
    signs: Floats


def judge_trust(dataset: Dataset, vectors: Vectors, changes: Sequence[int]) -> Dataset:
    """The same dataset with the trust that each answer has kept, the least that any change left it.

    ``vectors``: unit, of the questions; ``changes``: the last record before each. All that came
    since a change tells what it left standing, also where there was another since.
    """
    if not changes:
        return dataset
    seqs = np.asarray([one.row.seq for one in dataset.questions])
    trust = np.ones(len(seqs))
    for last in changes:
        standing = measure_standing(vectors, dataset.classes, seqs <= last)
        trust = np.minimum(trust, 1.0 / (1.0 + (1.0 - standing) / _NOISE))
    trust = np.maximum(trust, OLD_TRUST)
    questions = [
        replace(one, trust=float(kept)) for one, kept in zip(dataset.questions, trust, strict=True)
    ]
    return replace(dataset, questions=questions)


def measure_standing(vectors: Vectors, labels: Labels, older: NDArray[np.bool_]) -> Floats:
    """The chance that each answer still stands, shape (questions,), 1 for the newer ones.

    ``vectors``: unit, shape (questions, dimensions); ``labels``: the answers; ``older``: which are
    from before the change.
    """
    standing = np.ones(len(labels))
    if older.any():
        known, of_known = vectors[older], labels[older]
        chances = _weigh(known, of_known, vectors[~older], labels[~older])
        kept = _share_standing(chances)
        standing[older] = kept[np.searchsorted(np.unique(of_known), of_known)]
    return standing


def _weigh(known: Vectors, of_known: Labels, new: Vectors, of_new: Labels) -> Floats:
    """Log-likelihood of each share in ``_SHARES``, for each older label in the order of its number;
    shape (labels, shares)."""
    names, sizes = np.unique(of_known, return_counts=True)
    weighed = np.zeros((len(names), len(_SHARES)))
    unseen = 1.0 - np.isin(of_new, names).mean() if len(new) else 0.0
    fitted = _fit_chance(known, of_known, float(np.clip(unseen, *_STRANGERS)))
    if fitted is None or len(new) == 0:
        return weighed
    nearest = _look(new, of_new, known, of_known, "nothing")
    chance = fitted.probabilities(nearest.signs)
    place = np.searchsorted(names, nearest.label)
    others = np.bincount(of_new)[of_new] - 1.0
    beside = _find_kin(new, of_new) > nearest.similarity
    # How likely it is beside, among equals and among its own kind; then for what came of it.
    equals = others / (others + sizes[place])
    kind = np.maximum(equals, _KIN * others / (others + 1.0))
    if_fell = np.where(beside, equals, 1.0 - equals)
    if_stands = (1.0 - chance) * np.where(beside, kind, 1.0 - kind)
    same = nearest.label == of_new
    if_fell, if_stands = np.where(same, 0.0, if_fell), np.where(same, chance, if_stands)
    likely = _SHARES * if_stands[:, None] + (1.0 - _SHARES) * if_fell[:, None]
    np.add.at(weighed, place, np.log(likely + _LEAST))
    return weighed


def _fit_chance(known: Vectors, labels: Labels, strangers: float) -> Logistic | None:
    """p by the signs; None where nothing can be told from the older answers. ``strangers``: share
    of what comes that is taken for new intents."""
    if len(np.unique(labels)) < 2:
        return None
    itself = _look(known, labels, known, labels, "itself")
    stranger = _look(known, labels, known, labels, "its label")
    same = np.concatenate([itself.label == labels, np.zeros(len(labels), dtype=np.bool_)])
    if not same.any():
        return None
    signs = np.vstack([itself.signs, stranger.signs])
    weights = np.repeat([2.0 * (1.0 - strangers), 2.0 * strangers], len(labels))
    return fit_logistic(signs, same, (~same).astype(float), weights, 0)


def _look(
    asked: Vectors, of_asked: Labels, known: Vectors, of_known: Labels, left_out: LeftOut
) -> _Nearest:
    """What lies nearest to each of ``asked``. ``left_out``: of the known ones, for each asked."""
    label = np.empty(len(asked), dtype=np.int32)
    similarity = np.empty(len(asked), dtype=np.float32)
    signs = np.empty((len(asked), 3))
    count = min(_NEIGHBOURS, len(known))
    for rows, similar in _compare(asked, known):
        own = np.arange(len(similar))
        if left_out == "itself":
            similar[own, rows] = _NOWHERE
        elif left_out == "its label":
            similar[of_asked[rows, None] == of_known] = _NOWHERE
        nearest = similar.argmax(axis=1)
        label[rows], similarity[rows] = of_known[nearest], similar[own, nearest]
        few = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        alike = of_known == label[rows, None]
        share = alike[own[:, None], few].mean(axis=1)
        similar[alike] = _NOWHERE
        signs[rows] = np.column_stack(
            [similarity[rows], similarity[rows] - similar.max(axis=1), share]
        )
    return _Nearest(label=label, similarity=similarity, signs=signs)


def _find_kin(new: Vectors, labels: Labels) -> NDArray[np.float32]:
    """How near each question has another that was answered like it; -1 where there is none."""
    found = np.empty(len(new), dtype=np.float32)
    for rows, similar in _compare(new, new):
        similar[labels[rows, None] != labels] = _NOWHERE
        similar[np.arange(len(similar)), rows] = _NOWHERE
        found[rows] = similar.max(axis=1)
    return found


def _compare(asked: Vectors, known: Vectors) -> Iterator[tuple[NDArray[np.intp], Vectors]]:
    """The similarities, some rows at a time."""
    for start in range(0, len(asked), _BLOCK):
        similar = asked[start : start + _BLOCK] @ known.T
        yield np.arange(start, start + len(similar)), similar


def _share_standing(weighed: Floats) -> Floats:
    """The posterior mean of θ per label."""
    likelihood = np.exp(weighed - weighed.max(axis=1, keepdims=True))
    some, everything = likelihood.mean(axis=1), likelihood[:, -1]
    prior = _CHANGED
    fell = np.zeros(len(weighed))
    for _ in range(_ROUNDS):
        fell = prior * some / (prior * some + (1.0 - prior) * everything)
        prior = (fell.sum() + _CHANGED * _LABELS) / (len(fell) + _LABELS)
    mean = likelihood @ _SHARES / likelihood.sum(axis=1)
    kept: Floats = 1.0 - fell + fell * mean
    return kept
