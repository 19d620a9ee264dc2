"""The models that compete to be a gate, each fitted with scikit-learn and served with numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold

from policies.scoring.scorers import Boosting, Floats, Isotonic, Logistic, Neighbours, Scorer

Bools = NDArray[np.bool_]
Fit = Callable[[Floats, Bools, Floats, Floats, int], Scorer]
"""(columns, good, lost, weights, seed) → scorer; both outcomes occur in ``good``. ``lost``: what
the draft lost against the teacher, 1 or 0 for bad and good ones unless more is known."""

_REACH = 3.0
_FREEDOM = 1.0
_ADDED_FREEDOM = 100.0
_ADDED_FOLDS = 5
_DEPTH = 2
_TREES = 60
_RATE = 0.1
_LEAST_LEAF = 20
_NEIGHBOURS = 30
_MOST_KEPT = 2_000


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """``raw``: reads the first signal alone, the student's own confidence; ``words``: reads, behind
    all signals, how difficult the question's words are; ``least_rows``: below this it isn't tried.
    """

    name: str
    fit: Fit
    raw: bool = False
    words: bool = False
    least_rows: int = 0


def fit_logistic(
    columns: Floats, good: Bools, lost: Floats, weights: Floats, seed: int
) -> Logistic:
    """Logistic regression on standardised columns; of one column it is Platt's calibration."""
    mean, scale = columns.mean(axis=0), columns.std(axis=0) + 1e-9
    reach = np.inf if columns.shape[1] == 1 else _REACH
    standard = np.clip((columns - mean) / scale, -reach, reach)
    model = LogisticRegression(max_iter=1000, C=_FREEDOM).fit(standard, good, sample_weight=weights)
    return Logistic(
        mean=mean,
        scale=scale,
        weights=np.asarray(model.coef_[0], dtype=np.float64),
        bias=float(model.intercept_[0]),
        reach=reach,
    )


def fit_isotonic(
    columns: Floats, good: Bools, lost: Floats, weights: Floats, seed: int
) -> Isotonic:
    """Isotonic regression of the first column."""
    model = IsotonicRegression(y_min=0.0, y_max=1.0)
    model.fit(columns[:, 0], good.astype(float), sample_weight=weights)
    return Isotonic(
        knots=np.asarray(model.X_thresholds_, dtype=np.float64),
        values=np.asarray(model.y_thresholds_, dtype=np.float64),
    )


def fit_boosting(
    columns: Floats, good: Bools, lost: Floats, weights: Floats, seed: int
) -> Boosting:
    """Gradient boosting of shallow trees, written out as complete ones."""
    model = GradientBoostingClassifier(
        n_estimators=_TREES,
        max_depth=_DEPTH,
        learning_rate=_RATE,
        min_samples_leaf=_LEAST_LEAF,
        subsample=0.8,
        random_state=seed,
    ).fit(columns, good, sample_weight=weights)
    inner = 2**_DEPTH - 1
    features = np.zeros((_TREES, inner), dtype=np.int32)
    cuts = np.full((_TREES, inner), np.inf)
    leaves = np.zeros((_TREES, inner + 1))
    for i, (regressor,) in enumerate(model.estimators_):
        tree = regressor.tree_
        place = {0: 0}
        for k in range(2 * inner + 1):
            node = place[k]
            children = (tree.children_left[node], tree.children_right[node])
            if k >= inner:
                leaves[i, k - inner] = _RATE * tree.value[node].item()
            elif children[0] < 0:  # a leaf above the last depth: both ways lead back to it
                place[2 * k + 1] = place[2 * k + 2] = node
            else:
                features[i, k], cuts[i, k] = tree.feature[node], tree.threshold[node]
                place[2 * k + 1], place[2 * k + 2] = children
    share = float(np.average(good, weights=weights))
    return Boosting(
        columns=features, cuts=cuts, leaves=leaves, bias=float(np.log(share / (1.0 - share)))
    )


def fit_neighbours(
    columns: Floats, good: Bools, lost: Floats, weights: Floats, seed: int
) -> Neighbours:
    """Nearest neighbours among the standardised rows, of many a random sample."""
    mean, scale = columns.mean(axis=0), columns.std(axis=0) + 1e-9
    rows, kept = (columns - mean) / scale, good.astype(float)
    if len(rows) > _MOST_KEPT:
        chosen = np.random.default_rng(seed).choice(len(rows), _MOST_KEPT, replace=False)
        rows, kept = rows[chosen], kept[chosen]
    return Neighbours(
        mean=mean,
        scale=scale,
        rows=rows,
        good=kept,
        base=float(np.average(good, weights=weights)),
        count=min(_NEIGHBOURS, len(rows)),
    )


def fit_added(columns: Floats, good: Bools, lost: Floats, weights: Floats, seed: int) -> Logistic:
    """Signals and the difficulty, the last column, added up as they are, then Platt's calibration.

    What the signals add is a ridge regression of ``lost``. Fitted apart from the difficulty,
    neither can drown the other, as dozens of signals would over a few hundred rows.
    """
    mean, scale = columns.mean(axis=0), columns.std(axis=0) + 1e-9
    mean[-1], scale[-1] = 0.0, 1.0
    standard = np.clip((columns - mean) / scale, -_REACH, _REACH)
    signals, difficulty = standard[:, :-1], standard[:, -1]
    unseen = np.empty(len(good))
    for train, test in KFold(_ADDED_FOLDS, shuffle=True, random_state=seed).split(signals):
        part = Ridge(alpha=_ADDED_FREEDOM).fit(signals[train], lost[train], weights[train])
        unseen[test] = part.predict(signals[test])
    platt = LogisticRegression(C=np.inf).fit((unseen + difficulty)[:, None], good, weights)
    slope = float(platt.coef_[0, 0])
    whole = Ridge(alpha=_ADDED_FREEDOM).fit(signals, lost, weights)
    return Logistic(
        mean=mean,
        scale=scale,
        weights=slope * np.append(whole.coef_, 1.0),
        bias=float(platt.intercept_[0] + slope * whole.intercept_),
        reach=_REACH,
    )


CANDIDATES: tuple[Candidate, ...] = (
    Candidate(name="raw confidence", fit=fit_logistic, raw=True),
    Candidate(name="isotonic", fit=fit_isotonic, raw=True, least_rows=200),
    Candidate(name="logistic", fit=fit_logistic),
    Candidate(name="neighbours", fit=fit_neighbours, least_rows=200),
    Candidate(name="boosting", fit=fit_boosting, least_rows=500),
    Candidate(name="added", fit=fit_added, words=True, least_rows=200),
)
"""In the order in which they are tried; the first is the one to beat."""
