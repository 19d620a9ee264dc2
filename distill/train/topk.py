"""A teacher's top-k log-probabilities, packed: 6k + 4 bytes a token, 124 at k = 20.

Ids take 4 bytes, log-probabilities 2, the mass outside the k tokens 4 (its logarithm is what a loss
needs, so the small side is kept). A log-probability in [−24, 0] comes back within MAX_ERROR nats; a
lower one, a probability below 4·10⁻¹¹, comes back as −24.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LOWEST = -24.0
_STEPS = 65_534
"""Codes 0 to _STEPS; the last 16-bit value marks an absent place."""
_ABSENT_CODE = 65_535
_ABSENT_ID = 0xFFFFFFFF
MAX_ERROR = -LOWEST / _STEPS / 2
"""Half a step: 1.84·10⁻⁴ nats."""

_HEADER = struct.Struct("<8sII")
_MAGIC = b"tutelK1\0"


class TopKError(ValueError):
    """The packed bytes are damaged, or what was to be packed isn't a row of log-probabilities."""


@dataclass(frozen=True, kw_only=True)
class PackedTopK:
    """``ids``: uint32 (n, k); ``codes``: uint16 (n, k); ``tail``: float32 (n,), the mass
    outside."""

    ids: NDArray[np.uint32]
    codes: NDArray[np.uint16]
    tail: NDArray[np.float32]

    @property
    def tokens(self) -> int:
        return len(self.tail)

    @property
    def captured_mass(self) -> NDArray[np.float64]:
        """Probability of the k tokens together, (n,)."""
        return 1.0 - self.tail.astype(np.float64)

    def unpack(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Ids, −1 where absent, and log-probabilities in nats, −inf where absent; both (n, k)."""
        absent = self.codes == _ABSENT_CODE
        log_probs = self.codes.astype(np.float64) * (LOWEST / _STEPS)
        ids = self.ids.astype(np.int64)
        return np.where(absent, -1, ids), np.where(absent, -np.inf, log_probs)

    def to_bytes(self) -> bytes:
        """A header of 16 bytes, then 6k + 4 a token."""
        n, k = self.ids.shape
        body = self.ids.astype("<u4").tobytes() + self.codes.astype("<u2").tobytes()
        return _HEADER.pack(_MAGIC, n, k) + body + self.tail.astype("<f4").tobytes()


def pack_top_k(ids: NDArray[np.integer], log_probs: NDArray[np.floating]) -> PackedTopK:
    """Pack (n, k) token ids, negative where absent, with their log-probabilities in nats.

    They are those of the full softmax, so that what is missing to 1 is the tail's. Raises TopKError
    where shapes differ, a log-probability is above 0 or not a number, or a row's mass exceeds 1.
    """
    if ids.ndim != 2 or ids.shape != log_probs.shape:
        raise TopKError(f"ids {ids.shape} and log-probabilities {log_probs.shape} must match")
    absent = ids < 0
    values = np.where(absent, -np.inf, log_probs.astype(np.float64))
    if np.isnan(values).any() or (values > 1e-6).any():
        raise TopKError("a log-probability must be a number, and at most 0")
    mass = np.exp(values).sum(axis=1)
    if (mass > 1.0 + 1e-3).any():
        raise TopKError(f"a row's probabilities sum to {mass.max():.4f}: they can't exceed 1")
    codes = np.rint(np.clip(values, LOWEST, 0.0) * (_STEPS / LOWEST)).astype(np.uint16)
    return PackedTopK(
        ids=np.where(absent, _ABSENT_ID, ids).astype(np.uint32),
        codes=np.where(absent, _ABSENT_CODE, codes).astype(np.uint16),
        tail=np.clip(1.0 - mass, 0.0, 1.0).astype(np.float32),
    )


def pack_rows(rows: Sequence[Mapping[int, float]], k: int) -> PackedTopK:
    """Pack what a server gave: per token a mapping of id → log-probability, of which k are kept."""
    ids = np.full((len(rows), k), -1, dtype=np.int64)
    log_probs = np.full((len(rows), k), -np.inf)
    for i, row in enumerate(rows):
        best = sorted(row.items(), key=lambda pair: -pair[1])[:k]
        for j, (token, value) in enumerate(best):
            ids[i, j], log_probs[i, j] = token, value
    return pack_top_k(ids, log_probs)


def from_bytes(packed: bytes) -> PackedTopK:
    """What ``to_bytes`` wrote. Raises TopKError for anything else."""
    if len(packed) < _HEADER.size:
        raise TopKError("the packed log-probabilities are cut short")
    magic, n, k = _HEADER.unpack_from(packed)
    if magic != _MAGIC:
        raise TopKError("these bytes aren't packed log-probabilities")
    if len(packed) != _HEADER.size + n * (6 * k + 4):
        raise TopKError("the packed log-probabilities are cut short or too long")
    ends = np.cumsum([_HEADER.size, 4 * n * k, 2 * n * k])
    return PackedTopK(
        ids=np.frombuffer(packed, "<u4", n * k, ends[0]).reshape(n, k),
        codes=np.frombuffer(packed, "<u2", n * k, ends[1]).reshape(n, k),
        tail=np.frombuffer(packed, "<f4", n, ends[2]),
    )
