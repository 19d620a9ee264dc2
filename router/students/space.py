"""Which encoders make the vectors of a student: the common one, a workload's own, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from router.errors import ReleaseError
from router.students.embedded import Vectors
from router.students.encoder import WEIGHTS_SHA256, Encoder

FOLDER = "encoders"
"""Beside the releases: each tuned encoder as ``<sha256>.onnx``."""

_TUNED = "tuned:"
_BOTH = "+"


@dataclass(frozen=True, kw_only=True)
class Space:
    """``common``: the encoder that comes with the package takes part; ``tuned``: so does this one.

    With both, vectors lie side by side, so that the cosine of two texts is the mean of both
    encoders' cosines. A tuned encoder's session lives as long as its space: with the release.
    """

    common: bool = True
    tuned: Encoder | None = None

    @property
    def digest(self) -> str:
        """Of the weights; of both, the common ones' first, joined by a plus. That of a tuned one is
        marked as such."""
        parts = [WEIGHTS_SHA256] if self.common else []
        return _BOTH.join(parts + ([] if self.tuned is None else [_TUNED + self.tuned.digest]))

    def encode(self, texts: Sequence[str], encoder: Encoder) -> Vectors:
        """Unit vectors, a row per text. ``encoder``: the common one. Raises ReleaseError where
        weights are missing or damaged."""
        if self.tuned is None:
            return encoder.encode(texts)
        own = self.tuned.encode(texts)
        return join(encoder.encode(texts), own) if self.common else own


COMMON = Space()


def join(common: Vectors, own: Vectors) -> Vectors:
    """Vectors side by side, unit length again."""
    joined: Vectors = np.hstack([common, own]) / np.float32(np.sqrt(2.0))
    return joined


def is_tuned(digest: str) -> bool:
    """Whether a tuned encoder takes part in the space of that digest."""
    return _TUNED in digest


def find_space(digest: str, releases: Path) -> Space:
    """The space of that digest. Its files are read when first needed. ``releases``: their folder.

    Raises ReleaseError where a tuned encoder's file is missing.
    """
    common, mark, own = digest.rpartition(_TUNED)
    if not mark:
        return COMMON
    path = releases / FOLDER / f"{own}.onnx"
    if not path.is_file():
        raise ReleaseError(f"The release's encoder is missing: {path} isn't there.")
    return Space(common=bool(common), tuned=Encoder(weights=path, digest=own))
