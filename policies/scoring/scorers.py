"""What a fitted gate computes from its signals: probabilities, with numpy alone.

Each scorer reads signals of shape (rows, columns) and gives one probability per row, strictly
between 0 and 1. They are fitted in ``policies.fit`` and stored as arrays, never as code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SMALLEST = 1e-4
"""No scorer is surer than this of anything: it has seen some thousands of rows at most."""

_BATCH = 512


class Scorer(Protocol):
    """A fitted model; ``kind`` names it in an artifact."""

    kind: ClassVar[str]

    def probabilities(self, columns: Floats) -> Floats:
        """Of every row, shape (rows,)."""
        ...

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The numbers, for an artifact."""
        ...


@dataclass(frozen=True, kw_only=True)
class Logistic:
    """A logistic model: ``mean``, ``scale`` and ``weights`` per column, and a ``bias``.

    ``reach``: standard deviations beyond which a column says no more than that it is far out.
    """

    kind: ClassVar[str] = "logistic"

    mean: Floats
    scale: Floats
    weights: Floats
    bias: float
    reach: float = np.inf

    def probabilities(self, columns: Floats) -> Floats:
        standard = np.clip((columns - self.mean) / self.scale, -self.reach, self.reach)
        return _squash(self.bias + standard @ self.weights)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "mean": self.mean,
            "scale": self.scale,
            "weights": self.weights,
            "bias": np.asarray([self.bias, self.reach]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Logistic:
        """What ``to_arrays`` gave; KeyError where a part is missing."""
        return cls(
            mean=arrays["mean"],
            scale=arrays["scale"],
            weights=arrays["weights"],
            bias=float(arrays["bias"][0]),
            reach=float(arrays["bias"][1]),
        )


@dataclass(frozen=True, kw_only=True)
class Isotonic:
    """A non-decreasing curve over the one column: ``values`` at ``knots``, straight in between.

    Beyond the outer knots it goes on rising a little, so that it ranks as the column does.
    """

    kind: ClassVar[str] = "isotonic"

    knots: Floats
    values: Floats

    def probabilities(self, columns: Floats) -> Floats:
        raw = columns[:, 0]
        level = np.interp(raw, self.knots, self.values)
        # Where the curve is flat the column still ranks, without moving what is predicted.
        tilt = np.tanh((raw - self.knots.mean()) / (np.ptp(self.knots) + 1e-9))
        return _clip(level + _SMALLEST * tilt)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {"knots": self.knots, "values": self.values}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Isotonic:
        """What ``to_arrays`` gave; KeyError where a part is missing."""
        return cls(knots=arrays["knots"], values=arrays["values"])


@dataclass(frozen=True, kw_only=True)
class Boosting:
    """Boosted trees, each a complete binary tree of one depth.

    ``columns``, ``cuts``: which signal each inner node reads and where it divides, shape (trees,
    2^depth − 1), children of node k at 2k + 1 and 2k + 2; ``leaves``: log-odds, shape (trees,
    2^depth); ``bias``: log-odds before any tree.
    """

    kind: ClassVar[str] = "boosting"

    columns: NDArray[np.int32]
    cuts: Floats
    leaves: Floats
    bias: float

    def probabilities(self, columns: Floats) -> Floats:
        inner = self.cuts.shape[1]
        depth = (inner + 1).bit_length() - 1
        trees = np.arange(len(self.cuts))[None, :]
        total = np.full(len(columns), self.bias)
        for start in range(0, len(columns), _BATCH):
            rows = columns[start : start + _BATCH]
            node = np.zeros((len(rows), len(self.cuts)), dtype=np.intp)
            for _ in range(depth):
                read = np.take_along_axis(rows, self.columns[trees, node], axis=1)
                node = 2 * node + 1 + (read > self.cuts[trees, node])
            total[start : start + _BATCH] += self.leaves[trees, node - inner].sum(axis=1)
        return _squash(total)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "columns": self.columns,
            "cuts": self.cuts,
            "leaves": self.leaves,
            "bias": np.asarray([self.bias]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Boosting:
        """What ``to_arrays`` gave; KeyError where a part is missing."""
        return cls(
            columns=arrays["columns"],
            cuts=arrays["cuts"],
            leaves=arrays["leaves"],
            bias=float(arrays["bias"][0]),
        )


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """The share of good rows among the ``count`` nearest ones, drawn towards ``base``.

    ``rows``: standardised by ``mean`` and ``scale``, shape (rows, columns); ``good``: 0 or 1 each;
    ``base``: the share among all, which counts like ``_PRIOR`` neighbours.
    """

    kind: ClassVar[str] = "neighbours"

    _PRIOR: ClassVar[float] = 2.0

    mean: Floats
    scale: Floats
    rows: Floats
    good: Floats
    base: float
    count: int

    def probabilities(self, columns: Floats) -> Floats:
        found = np.empty(len(columns))
        squares = (self.rows**2).sum(axis=1)
        for start in range(0, len(columns), _BATCH):
            part = (columns[start : start + _BATCH] - self.mean) / self.scale
            far = squares[None, :] - 2.0 * part @ self.rows.T
            near = np.argpartition(far, self.count - 1, axis=1)[:, : self.count]
            found[start : start + _BATCH] = self.good[near].sum(axis=1)
        return _clip((found + self._PRIOR * self.base) / (self.count + self._PRIOR))

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        return {
            "mean": self.mean,
            "scale": self.scale,
            "rows": self.rows,
            "good": self.good,
            "base": np.asarray([self.base, self.count]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Neighbours:
        """What ``to_arrays`` gave; KeyError where a part is missing."""
        return cls(
            mean=arrays["mean"],
            scale=arrays["scale"],
            rows=arrays["rows"],
            good=arrays["good"],
            base=float(arrays["base"][0]),
            count=int(arrays["base"][1]),
        )


_KINDS = {one.kind: one for one in (Logistic, Isotonic, Boosting, Neighbours)}


def read_scorer(kind: str, arrays: Mapping[str, NDArray[Any]]) -> Scorer:
    """The scorer of an artifact; KeyError for a kind or a part that isn't there."""
    return _KINDS[kind].from_arrays(arrays)


def _squash(z: Floats) -> Floats:
    chances: Floats = 1.0 / (1.0 + np.exp(-np.clip(z, -40.0, 40.0)))
    return chances


def _clip(chances: Floats) -> Floats:
    bounded: Floats = np.clip(chances, _SMALLEST, 1.0 - _SMALLEST)
    return bounded
