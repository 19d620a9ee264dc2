"""The encoder with a memory on disk, since encoding is most of a run's time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from router.students.encoder import DIMENSIONS, WEIGHTS_SHA256, Encoder


class RememberingEncoder:
    """Unit vectors of texts, kept in a file that belongs to these weights and texts alone.

    ``folder``: where the file lies, made when first needed; None keeps nothing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._encoder = Encoder(threads=1)
        self._path = None if folder is None else folder / f"vectors-{WEIGHTS_SHA256[:16]}.npz"
        self._known: dict[str, NDArray[np.float32]] = {}
        if self._path is not None and self._path.exists():
            with np.load(self._path) as stored:
                self._known = dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Vectors of shape (len(texts), 384)."""
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        missing = {
            key: text for key, text in zip(keys, texts, strict=True) if key not in self._known
        }
        if missing:
            vectors = self._encoder.encode(list(missing.values()))
            self._known.update(zip(missing, vectors, strict=True))
            self._store()
        found = [self._known[key] for key in keys]
        return np.array(found, np.float64).reshape(len(texts), DIMENSIONS)

    def _store(self) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial.npz")
        np.savez(
            partial, keys=np.array(list(self._known)), vectors=np.stack(list(self._known.values()))
        )
        partial.replace(self._path)
