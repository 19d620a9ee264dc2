"""Texts that are nearly the same, found without comparing each with each.

MinHash (Broder 1997) over runs of five characters, in bands (locality-sensitive hashing): texts
with a band in common are candidates, and each candidate's Jaccard similarity is then calculated.
Deterministic: no seed, no clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from policies.compare.fold import fold_label

Hashes = NDArray[np.uint64]

_RUN = 5
_BANDS, _ROWS = 16, 4
"""A pair of similarity s is a candidate with probability 1 − (1 − s⁴)¹⁶: .9998 at s = .8."""

_COMPARED = 50
"""Of texts that share a band, each is compared with so many before it: a template that ten
thousand requests fill in must not take ten thousand squared comparisons."""

_RANDOM = np.random.default_rng(0x7475746F72)
_RUN_FACTORS: Hashes = _RANDOM.integers(1, 2**63, _RUN, dtype=np.uint64) | np.uint64(1)
_FACTORS: Hashes = _RANDOM.integers(1, 2**63, (_BANDS * _ROWS, 1), dtype=np.uint64) | np.uint64(1)
_SUMMANDS: Hashes = _RANDOM.integers(0, 2**63, (_BANDS * _ROWS, 1), dtype=np.uint64)


def near_pairs(texts: Sequence[str], least: float) -> Iterator[tuple[int, int]]:
    """Pairs (earlier, later) of positions whose texts have a Jaccard similarity of ``least`` or
    more; nearly all such pairs, or a chain of pairs between the two. Folded first."""
    runs = [_hash_runs(fold_label(text)) for text in texts]
    buckets: dict[tuple[int, bytes], list[int]] = {}
    for i, own in enumerate(runs):
        signature = _sign(own)
        candidates: set[int] = set()
        for band in range(_BANDS):
            part = signature[band * _ROWS : (band + 1) * _ROWS].tobytes()
            bucket = buckets.setdefault((band, part), [])
            candidates.update(bucket[-_COMPARED:])
            bucket.append(i)
        for j in sorted(candidates):
            if _similarity(runs[j], own) >= least:
                yield j, i


def group(count: int, pairs: Iterator[tuple[int, int]]) -> list[int]:
    """The connected components of ``pairs`` over positions, each named by its first position."""
    parent = list(range(count))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j in pairs:
        a, b = sorted((find(i), find(j)))
        parent[b] = a
    return [find(i) for i in range(count)]


def _hash_runs(text: str) -> Hashes:
    """The hashes of all runs, each once, sorted. A text shorter than a run is one run."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    if len(points) < _RUN:
        points = np.pad(points, (0, _RUN - len(points)))
    windows = np.lib.stride_tricks.sliding_window_view(points.astype(np.uint64), _RUN)
    mixed = (windows * _RUN_FACTORS).sum(axis=1, dtype=np.uint64)
    runs: Hashes = np.unique(mixed ^ (mixed >> np.uint64(29)))
    return runs


def _sign(runs: Hashes) -> Hashes:
    mixed: Hashes = (_FACTORS * runs + _SUMMANDS) >> np.uint64(32)
    least: Hashes = mixed.min(axis=1)
    return least


def _similarity(one: Hashes, other: Hashes) -> float:
    small, large = sorted((len(one), len(other)))
    both = len(np.intersect1d(one, other, assume_unique=True))
    return both / (small + large - both)
