"""Planted clusters are found, sized and named."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from distill.next.checked import Checked
from distill.next.clusters import MOST_CLUSTERS, find_clusters

PLANTED = (
    ("refund", "parcel", "money back for my {}", 12, 1.0),
    ("warranty", "cancel", "broken {} repaired free", 8, 5.0),
    ("opening", "parcel", "tonight until when {}", 6, 1.0),
)
THINGS = ("bike", "lamp", "phone", "kettle", "chair", "tent", "watch", "drill", "radio", "coat")


def plant(spread: float = 0.05) -> tuple[list[Checked], NDArray[np.float32]]:
    """Failures around three directions; of each, as many questions again that went well; and
    questions elsewhere that went well."""
    rng = np.random.default_rng(7)
    checked, centres = [], []
    for axis, (teacher, draft, form, count, weight) in enumerate(PLANTED):
        for i in range(2 * count):
            text = form.format(THINGS[i % 10]) + f" {'x' * (i + 2)}"
            wrong = weight if i < count else 0.0
            said = (teacher, draft) if i < count else ("", "")
            one = Checked(text=text, asked=weight, wrong=wrong, teacher=said[0], draft=said[1])
            checked.append(one)
            centres.append(np.eye(16)[axis])
    for i in range(40):
        checked.append(Checked(text=f"hello {THINGS[i % 10]} {i}", asked=1.0))
        centres.append(np.eye(16)[5])
    vectors = np.asarray(centres) + spread * rng.normal(size=(len(centres), 16))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return checked, vectors.astype(np.float32)


def test_planted_clusters_are_found_and_named_by_their_weight() -> None:
    checked, vectors = plant()
    found = find_clusters(checked, vectors, seed=0)
    assert [(one.teacher, one.draft, one.questions) for one in found] == [
        ("warranty", "cancel", 8),
        ("refund", "parcel", 12),
        ("opening", "parcel", 6),
    ]
    assert found[0].name == "warranty ← cancel (repaired, broken, free)"
    assert found[0].interactions == pytest.approx(40.0)
    # 24 and 80 and 12 interactions in the three places, 40 elsewhere.
    assert found[0].share == pytest.approx(40 / 156)
    assert {one.confusion_share for one in found} == {1.0}
    assert "money" in found[1].words


def test_the_precision_is_the_share_that_fails_there() -> None:
    checked, vectors = plant(spread=0.0)
    assert [one.precision for one in find_clusters(checked, vectors, seed=0)] == [0.5, 0.5, 0.5]


def test_the_commonest_confusion_by_weight_names_it() -> None:
    checked = [
        Checked(text="a", asked=1.0, wrong=1.0, teacher="refund", draft="parcel"),
        Checked(text="b", asked=1.0, wrong=1.0, teacher="refund", draft="parcel"),
        Checked(text="c", asked=20.0, wrong=20.0, teacher="cancel", draft="parcel"),
    ]
    (found,) = find_clusters(checked, np.eye(3, dtype=np.float32), seed=0)
    assert (found.teacher, found.confusion_share) == ("cancel", pytest.approx(20 / 22))
    assert found.words == []


def test_one_cloud_is_one_cluster() -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(120, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    checked = [Checked(text=f"q {i}", asked=1.0, wrong=1.0) for i in range(120)]
    assert len(find_clusters(checked, vectors, seed=0)) == 1


def test_there_are_never_too_many() -> None:
    vectors = np.repeat(np.eye(20, dtype=np.float32), 10, axis=0)
    checked = [Checked(text=f"q {i}", asked=1.0, wrong=1.0) for i in range(200)]
    assert len(find_clusters(checked, vectors, seed=0)) == MOST_CLUSTERS


def test_the_same_seed_makes_the_same() -> None:
    checked, vectors = plant(spread=0.3)
    assert find_clusters(checked, vectors, seed=3) == find_clusters(checked, vectors, seed=3)


def test_redaction_gives_no_names() -> None:
    checked, vectors = plant()
    marked = [
        Checked(
            text=one.text + (" [email]" if one.draft == "cancel" else ""),
            asked=one.asked,
            wrong=one.wrong,
            teacher=one.teacher,
            draft=one.draft,
        )
        for one in checked
    ]
    assert "email" not in " ".join(find_clusters(marked, vectors, seed=0)[0].words)


def test_no_failures_no_clusters() -> None:
    checked = [Checked(text="a", asked=1.0)]
    assert find_clusters(checked, np.eye(1, dtype=np.float32), seed=0) == []
    assert find_clusters([], np.zeros((0, 384), np.float32), seed=0) == []
