"""Difficulty from the request alone: will this draft turn out fit to be served?

Learned online from every draft that was made, so it needs neither the teacher nor a release: a
logistic regression over sizes and flags of the request and over the surest draft made before, by
AdaGrad (Duchi, Hazan and Singer 2011). It only decides whether a draft is worth its price.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.types import Features

Floats = NDArray[np.float64]

_COLUMNS = 8
_RATE = 0.3
_LOGIT_LIMIT = 8.0


class Difficulty:
    """The chance that a rung's draft is fit to be served; one half before anything was seen."""

    def __init__(self) -> None:
        self._weights: Floats = np.zeros(_COLUMNS)
        self._squares: Floats = np.full(_COLUMNS, 1e-6)

    def chance(self, features: Features, surest: float | None) -> float:
        """``surest``: the highest confidence of the drafts made before this one; None: no draft."""
        return _logistic(float(self._weights @ _describe(features, surest)))

    def observe(self, features: Features, surest: float | None, fit: bool) -> None:
        """A draft was made, and was or wasn't fit to be served."""
        x = _describe(features, surest)
        gradient = (_logistic(float(self._weights @ x)) - float(fit)) * x
        self._squares += gradient**2
        self._weights -= _RATE * gradient / np.sqrt(self._squares)

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``."""
        return {"weights": self._weights.tolist(), "squares": self._squares.tolist()}

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Difficulty:
        """As it stood at ``state()``. Raises KeyError, TypeError or ValueError otherwise."""
        found = cls()
        weights, squares = (
            np.asarray(state[name], dtype=np.float64) for name in ("weights", "squares")
        )
        if weights.shape != (_COLUMNS,) or squares.shape != (_COLUMNS,) or squares.min() <= 0.0:
            raise ValueError("the stored difficulty has another shape")
        if not (np.isfinite(weights).all() and np.isfinite(squares).all()):
            raise ValueError("the stored difficulty holds something that is no number")
        found._weights, found._squares = weights, squares
        return found


def _describe(features: Features, surest: float | None) -> Floats:
    """Columns of about the same size, shape (8,)."""
    sure = 0.5 if surest is None else min(max(surest, 1e-4), 1.0 - 1e-4)
    return np.array(
        [
            1.0,
            (math.log1p(features.prompt_chars) - 6.0) / 2.0,
            (math.log1p(features.last_user_chars) - 5.0) / 2.0,
            math.log1p(min(features.turns, 20)) - 1.0,
            float(features.has_tools),
            float(features.wants_json),
            float(surest is not None),
            math.log(sure / (1.0 - sure)) / 2.0,
        ]
    )


def _logistic(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(value, -_LOGIT_LIMIT), _LOGIT_LIMIT)))
