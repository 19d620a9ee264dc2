"""Failures that lie together, with names: k-means over the encoder's vectors.

How many clusters there are is what separates best (mean silhouette, Rousseeuw 1987), one where
nothing does. The same questions, in the same order, and the same seed make the same clusters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

from distill.dataset.merging import fold
from distill.next.checked import Checked, shorten

MOST_CLUSTERS = 12
_LEAST_EACH = 5
"""Failures per cluster, at least, on average."""

_LEAST_SEPARATED = 0.05
"""Silhouette below which a partition only cuts one cloud in pieces."""

_STARTS = 5
_WORDS = 3
_EXAMPLES = 3
_LONGEST = 100
_Z95 = 1.96
_TOKEN = re.compile(r"\[[a-z]+\]|[^\W\d_]{2,}")

Vectors = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Failures that lie together.

    ``teacher`` ← ``draft``: the commonest confusion, in ``confusion_share`` of the failures;
    ``words``: what tells its questions from all others; ``questions``: how many failed;
    ``interactions``: how many they stand for; ``share``: of all traffic; ``precision``: of the
    traffic that falls where these failures lie, the share that fails; ``examples``: questions, the
    most typical first; ``ids``: of interactions that asked them.
    """

    name: str
    teacher: str
    draft: str
    confusion_share: float
    words: Sequence[str]
    questions: int
    interactions: float
    share: float
    precision: float
    examples: Sequence[str]
    ids: Sequence[str]


def find_clusters(checked: Sequence[Checked], vectors: Vectors, *, seed: int) -> list[Cluster]:
    """Clusters of the questions that failed, those that stand for most first.

    ``vectors``: of all checked questions, of shape (len(checked), dimensions), of unit length.
    """
    failed = np.asarray([i for i, one in enumerate(checked) if one.wrong], dtype=np.intp)
    if not len(failed):
        return []
    weights = np.asarray([checked[i].wrong for i in failed])
    # Sums in parallel end in another last digit each time.
    with threadpool_limits(1):
        model = _partition(vectors[failed], weights, seed)
        distances = model.transform(vectors)
    nearest = distances.argmin(axis=1)
    found = []
    for c in range(distances.shape[1]):
        members = failed[nearest[failed] == c]
        if len(members):
            around = (nearest == c) & (distances[:, c] <= distances[members, c].max())
            typical = members[np.argsort(distances[members, c], kind="stable")]
            found.append(_describe(checked, typical, np.flatnonzero(around)))
    return sorted(found, key=lambda one: (-one.interactions, one.name))


def _partition(vectors: Vectors, weights: NDArray[np.float64], seed: int) -> KMeans:
    def fit(count: int) -> KMeans:
        means = KMeans(n_clusters=count, n_init=_STARTS, random_state=seed)
        return means.fit(vectors, sample_weight=weights)

    best, score = fit(1), _LEAST_SEPARATED
    different = len(np.unique(vectors, axis=0))
    most = min(MOST_CLUSTERS, len(vectors) // _LEAST_EACH, different)
    for count in range(2, most + 1):
        model = fit(count)
        separated = silhouette_score(vectors, model.labels_)
        if separated > score:
            best, score = model, separated
    return best


def _describe(
    checked: Sequence[Checked], members: NDArray[np.intp], around: NDArray[np.intp]
) -> Cluster:
    mine = [checked[i] for i in members]
    confusions: Counter[tuple[str, str]] = Counter()
    for one in mine:
        confusions[one.teacher, one.draft] += one.wrong
    (teacher, draft), weight = min(confusions.items(), key=lambda item: (-item[1], item[0]))
    interactions = sum(one.wrong for one in mine)
    chosen = set(members.tolist())
    words = list(_tell_apart(mine, [one for i, one in enumerate(checked) if i not in chosen]))
    return Cluster(
        name=f"{teacher} ← {draft}" + (f" ({', '.join(words)})" if words else ""),
        teacher=teacher,
        draft=draft,
        confusion_share=weight / interactions,
        words=words,
        questions=len(mine),
        interactions=interactions,
        share=interactions / sum(one.asked for one in checked),
        precision=interactions / sum(checked[i].asked for i in around),
        examples=[shorten(one.text, _LONGEST) for one in mine[:_EXAMPLES]],
        ids=[one.id for one in mine[:_EXAMPLES]],
    )


def _tell_apart(mine: Sequence[Checked], others: Sequence[Checked]) -> Iterator[str]:
    """Words that questions of the cluster have more often than others, beyond chance, the surest
    first: z of the log odds ratio, half a question added to each count (Haldane, Anscombe 1956)."""
    here, there = _count_words(mine), _count_words(others)
    scores = []
    for word, a in here.items():
        b = there[word]
        cells = np.asarray([a, len(mine) - a, b, len(others) - b]) + 0.5
        ratio = np.log(cells[0] / cells[1]) - np.log(cells[2] / cells[3])
        z = float(ratio / np.sqrt((1.0 / cells).sum()))
        if z > _Z95:
            scores.append((-round(z, 6), -len(word), word))  # of equals the longer tells more
    return (word for *_, word in sorted(scores)[:_WORDS])


def _count_words(questions: Sequence[Checked]) -> Counter[str]:
    """In how many questions each word is; what redaction put in a text's place is no word."""
    counts: Counter[str] = Counter()
    for one in questions:
        found = (word for word in _TOKEN.findall(one.text) if not word.startswith("["))
        counts.update({fold(word) for word in found})
    return counts
