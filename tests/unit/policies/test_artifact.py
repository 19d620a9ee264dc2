from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from policies.artifact import ArtifactError, digest_of, load, save

META = {"name": "w", "labels": ["a", "b"], "share": 0.5}
ARRAYS = {"x": np.arange(600, dtype=np.float32).reshape(2, 300), "y": np.asarray([1, 2])}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    digest, path = save(tmp_path, META, ARRAYS)
    loaded, meta, arrays = load(path)
    assert (loaded, meta, set(arrays)) == (digest, META, set(ARRAYS))
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_the_digest_is_of_the_meaning() -> None:
    digest = digest_of(META, ARRAYS)
    backwards = dict(reversed(META.items())), dict(reversed(ARRAYS.items()))
    assert digest_of(*backwards) == digest
    assert digest_of(META, {**ARRAYS, "x": np.asfortranarray(ARRAYS["x"])}) == digest
    assert digest_of(META, {**ARRAYS, "x": ARRAYS["x"].reshape(300, 2)}) != digest
    assert digest_of(META, {**ARRAYS, "y": np.asarray([1, 2], dtype=np.int32)}) != digest
    assert digest_of({**META, "share": 0.6}, ARRAYS) != digest


def test_the_same_content_twice_is_one_folder(tmp_path: Path) -> None:
    assert save(tmp_path, META, ARRAYS) == save(tmp_path, META, ARRAYS)
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("where", [0, 0.3, 0.5, 0.9])
def test_a_flipped_byte_in_the_arrays_is_refused(tmp_path: Path, where: float) -> None:
    _, path = save(tmp_path, META, ARRAYS)
    file = path / "arrays.npz"
    data = bytearray(file.read_bytes())
    data[int(where * len(data))] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(ArtifactError):
        load(path)


@pytest.mark.parametrize("kept", [0, 10, 100])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: int) -> None:
    _, path = save(tmp_path, META, ARRAYS)
    file = path / "arrays.npz"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ArtifactError):
        load(path)


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    _, path = save(tmp_path, META, ARRAYS)
    file = path / "manifest.json"
    manifest = json.loads(file.read_text())
    for change in ({"meta": {**META, "share": 0.6}}, {"digest": "0" * 64}, {"format": 1}):
        file.write_text(json.dumps({**manifest, **change}))
        with pytest.raises(ArtifactError):
            load(path)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format":1}', '{"format":1,"meta":{}}'])
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str) -> None:
    _, path = save(tmp_path, META, ARRAYS)
    (path / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError):
        load(path)


def test_a_missing_artifact_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        load(tmp_path / "nothing")
