"""The encoder: unit vectors that know what texts are about, loaded only when needed."""

from __future__ import annotations

import numpy as np

from router.students.encoder import DIMENSIONS, Encoder


def test_loads_late_and_places_like_with_like() -> None:
    encoder = Encoder(threads=1)
    assert not encoder.loaded
    texts = ["where is my parcel?", "has my order shipped yet", "I forgot my password"]
    vectors = encoder.encode(texts)
    assert encoder.loaded
    assert vectors.shape == (3, DIMENSIONS)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_batch_alone_and_cache_agree() -> None:
    encoder = Encoder(threads=1, cache=1)
    together = encoder.encode(["short", "a somewhat longer text about lamps and tents", "short"])
    alone = Encoder(threads=1).encode(["short"])
    np.testing.assert_allclose(together[0], together[2])
    np.testing.assert_allclose(together[0], alone[0], atol=2e-2)
    assert encoder.encode([]).shape == (0, DIMENSIONS)
