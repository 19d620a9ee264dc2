"""Which model a release's student is, and adapters kept by their content."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from router.errors import ReleaseError
from router.generative.student import (
    ADAPTERS,
    GenerativeStudent,
    is_adapter_name,
    keep_adapter,
    read_adapter,
)
from router.release import load_release, save_release


def write_adapter(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text('{"r": 4}')
    (folder / "adapter_model.safetensors").write_bytes(weights)
    (folder / "README.md").write_text("not part of it")
    return folder


def test_an_adapters_name_follows_from_its_content(tmp_path: Path) -> None:
    one = keep_adapter(write_adapter(tmp_path / "a"), tmp_path / "releases")
    same = keep_adapter(write_adapter(tmp_path / "b"), tmp_path / "releases")
    other = keep_adapter(write_adapter(tmp_path / "c", b"others"), tmp_path / "releases")
    assert one == same
    assert one.name != other.name
    assert is_adapter_name(one.name)
    assert sorted(file.name for file in one.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    student = GenerativeStudent(base="small", adapter=one)
    assert (student.model, GenerativeStudent(base="small").model) == (one.name, "small")


def test_a_release_names_its_student_and_may_lack_a_gate(tmp_path: Path) -> None:
    adapter = keep_adapter(write_adapter(tmp_path / "a"), tmp_path / "releases")
    student = GenerativeStudent(base="small", adapter=adapter)
    _, path = save_release(
        tmp_path / "releases", workload="w", comparer="json", encoder="", student=student, gate=None
    )
    release = load_release(path)
    assert release.student == student
    assert np.isinf(release.thresholds(np.asarray([0.01, 0.5]), "all")).all()
    weights = tmp_path / "releases" / ADAPTERS / adapter.digest[:16] / "adapter_model.safetensors"
    weights.write_bytes(b"swapped")
    with pytest.raises(ReleaseError, match="another adapter"):
        load_release(path)


def test_what_is_no_adapter_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="is no adapter"):
        read_adapter(tmp_path)
    broken = write_adapter(tmp_path / "a")
    (broken / "adapter_config.json").write_text("{")
    with pytest.raises(ReleaseError, match="as peft writes them"):
        keep_adapter(broken, tmp_path / "releases")
