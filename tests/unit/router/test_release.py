"""The gateway follows the store's pointer, and a damaged release changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from policies.scoring.gate import Gate
from policies.scoring.scorers import Logistic
from policies.types import Answer
from router.errors import ReleaseError
from router.record.store import Store
from router.release import ActiveReleases, save_release
from router.students.embedded import EmbeddedStudent
from router.wire.openai import answer_to_json


def _save(folder: Path, gamma: float) -> tuple[str, Path]:
    one = np.ones(1)
    student = EmbeddedStudent(
        answers=[answer_to_json(Answer(content="yes")), answer_to_json(Answer(content="no"))],
        support=np.eye(4, 384, dtype=np.float32),
        weights=np.eye(4, 2, dtype=np.float32),
        classes=np.array([0, 1, 0, 1], dtype=np.int32),
        queries=2,
        gamma=gamma,
    )
    gate = Gate(
        signals=("margin",),
        scorer=Logistic(mean=one * 0, scale=one, weights=one, bias=0.0),
        curve_score=one * 0.9,
        curve_all=one * 0.01,
        curve_served=one * 0.02,
    )
    return save_release(
        folder, workload="w", comparer="label", encoder="e", student=student, gate=gate
    )


def _add(store: Store, digest: str, path: Path) -> None:
    store.add_release(digest=digest, workload="w", path=str(path), report={})
    store.set_active("w", digest, "test")


def test_follows_the_pointer_and_back(tmp_path: Path) -> None:
    store = Store.open(":memory:")
    active = ActiveReleases(store)
    assert active.refresh() == set()
    first, second = _save(tmp_path, 1.0), _save(tmp_path, 2.0)
    _add(store, *first)
    assert active.refresh() == {"w"}
    loaded = active.get("w")
    assert loaded is not None
    assert active.refresh() == set()
    assert active.get("w") is loaded
    _add(store, *second)
    assert active.refresh() == {"w"}
    store.set_active("w", first[0], "back")
    active.refresh()
    again = active.get("w")
    assert again is not None
    assert again.digest == first[0]


def test_a_damaged_release_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    store = Store.open(":memory:")
    active = ActiveReleases(store)
    first, second = _save(tmp_path, 1.0), _save(tmp_path, 2.0)
    _add(store, *first)
    active.refresh()
    (second[1] / "arrays.npz").write_bytes(b"nonsense")
    _add(store, *second)
    with pytest.raises(ReleaseError):
        active.refresh()
    kept = active.get("w")
    assert kept is not None
    assert kept.digest == first[0]


def test_another_release_in_the_place_of_the_one_named_is_not_served(tmp_path: Path) -> None:
    store = Store.open(":memory:")
    active = ActiveReleases(store)
    first, second = _save(tmp_path, 1.0), _save(tmp_path, 2.0)
    _add(store, first[0], second[1])
    with pytest.raises(ReleaseError, match="holds another release"):
        active.refresh()
    assert active.get("w") is None
    assert not active.all()


def test_neighbours_are_what_may_soon_be_in_force(tmp_path: Path) -> None:
    store = Store.open(":memory:")
    saved = [_save(tmp_path, float(n)) for n in range(1, 7)]
    for digest, path in saved[:4]:
        _add(store, digest, path)
    for digest, path in saved[4:]:
        store.add_release(digest=digest, workload="w", path=str(path), report={})
    active = ActiveReleases(store)
    active.refresh()
    near = active.neighbours()
    digests = [digest for digest, _ in saved]
    # The newest candidate, the one in force, and two that were.
    assert {one.digest for one in near} == {digests[n] for n in (5, 3, 2, 1)}
    assert active.get("w") in near
    store.set_active("w", digests[2], "back")
    active.refresh()
    assert active.get("w") in near  # it was at hand: nothing was read again
