"""Trust after a change: lost where the newer answers contradict the older ones, and only there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from distill.dataset import build_dataset
from distill.dataset.model import LEARNING_TERMS
from distill.drift import OLD_TRUST
from distill.trust import judge_trust, measure_standing
from router.record.redact import Redactor
from tests.unit.distill.learning_rows import allow, row

INTENTS = 24
SEEDS = range(3)


@dataclass(frozen=True, kw_only=True)
class World:
    """Questions of intents, each a cloud around a place of its own; the older ones first.

    ``vectors``: unit; ``intents``: what each asks for, which is what the teacher called it before;
    ``older``: how many are from before the change.
    """

    vectors: NDArray[np.float32]
    intents: NDArray[np.int32]
    older: int

    def standing(self, now: NDArray[np.int32] | None = None) -> NDArray[np.float64]:
        """The chance that each older answer stands; ``now``: what the teacher says since."""
        labels = self.intents.copy()
        if now is not None:
            labels[self.older :] = now
        return measure_standing(self.vectors, labels, np.arange(len(labels)) < self.older)[
            : self.older
        ]

    @property
    def before(self) -> NDArray[np.int32]:
        return self.intents[: self.older]

    @property
    def since(self) -> NDArray[np.int32]:
        return self.intents[self.older :]


def make(
    seed: int,
    known: Sequence[int],
    coming: Sequence[int],
    older: int = 480,
    newer: int = 200,
    own_part: float = 0.25,
) -> World:
    """Any two intents have a cosine of about .5, questions of one intent ``own_part`` more."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=384)
    own = rng.normal(size=(100, 384))
    intents = np.concatenate([rng.choice(known, older), rng.choice(coming, newer)])
    clouds = rng.normal(size=(older + newer, 384))
    vectors = np.sqrt(0.5) * shared + np.sqrt(own_part) * own[intents]
    vectors += np.sqrt(0.5 - own_part) * clouds
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return World(vectors=vectors.astype(np.float32), intents=intents.astype(np.int32), older=older)


ALL = tuple(range(INTENTS))
"""Intents that were known before the change."""

MOVED = ALL[: INTENTS // 3]


@pytest.mark.parametrize("seed", SEEDS)
def test_where_nothing_changed_trust_stays(seed: int) -> None:
    assert make(seed, ALL, ALL).standing().min() > 0.9


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("names", ["each other's", "new"])
def test_labels_that_were_renamed_lose_it_and_no_others(seed: int, names: str) -> None:
    world = make(seed, ALL, ALL)
    moved = world.since < len(MOVED)
    other = (world.since + 1) % len(MOVED) if names == "each other's" else world.since + 50
    trust = world.standing(np.where(moved, other, world.since).astype(np.int32))
    stale = world.before < len(MOVED)
    assert trust[stale].max() < 0.3
    assert trust[~stale].min() > 0.75


@pytest.mark.parametrize("seed", SEEDS)
def test_new_intents_take_no_trust_though_old_ones_are_not_heard_of_again(seed: int) -> None:
    trust = make(seed, ALL, range(INTENTS, INTENTS + 12)).standing()
    assert trust.min() > 0.75
    assert trust.mean() > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_many_new_intents_beside_few_old_ones_take_no_trust_either(seed: int) -> None:
    """Nearly all that is heard is new, and much of it is nearest to some old question."""
    world = make(seed, range(8), range(8, 60), older=80, newer=600, own_part=0.05)
    assert world.standing().mean() > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_takes_the_share_that_it_has(seed: int) -> None:
    world = make(seed, ALL, ALL)
    rng = np.random.default_rng(seed)
    wild = rng.random(len(world.since)) < 0.2
    said = np.where(wild, rng.integers(0, INTENTS, len(world.since)), world.since)
    trust = world.standing(said.astype(np.int32))
    assert 0.7 < trust.mean() < 0.9
    assert np.mean(trust < 0.5) < 0.1


def test_half_a_label_that_moved_costs_half_its_trust() -> None:
    world = make(1, ALL, ALL, newer=400)
    split = np.where(
        (world.since < len(MOVED)) & (np.arange(400) % 2 == 0), world.since + 50, world.since
    )
    trust = world.standing(split.astype(np.int32))
    stale = world.before < len(MOVED)
    assert 0.35 < trust[stale].mean() < 0.65
    assert trust[~stale].mean() > 0.9


def test_a_label_loses_trust_also_where_nothing_newer_is_near() -> None:
    """Two clouds of questions have one answer; the teacher renamed it, and only one is asked."""
    world = make(0, ALL, ALL)
    twin = len(MOVED)
    one_answer = np.where(world.intents == twin, 0, world.intents).astype(np.int32)
    labels = replace(world, intents=one_answer)
    kept = world.since != twin
    heard = replace(
        labels,
        vectors=np.vstack([world.vectors[: world.older], world.vectors[world.older :][kept]]),
        intents=np.concatenate([labels.before, labels.since[kept]]),
    )
    said = np.where(heard.since == 0, 50, heard.since).astype(np.int32)
    trust = heard.standing(said)
    assert trust[world.before == twin].max() < 0.3
    assert trust[heard.before != 0].min() > 0.75


def test_labels_of_which_nothing_is_heard_lose_some_where_many_others_changed() -> None:
    world = make(0, ALL, ALL[: INTENTS // 2])
    silent = world.before >= INTENTS // 2
    calm = world.standing()[silent].mean()
    renamed = world.standing((world.since + 50).astype(np.int32))[silent].mean()
    assert calm > 0.95
    assert 0.6 < renamed < 0.8


def test_one_contradiction_is_little_and_where_all_is_contradicted_nothing_stands() -> None:
    world = make(0, ALL, ALL, newer=400)
    one = world.since.copy()
    one[np.flatnonzero(world.since == 3)[0]] = 50
    assert world.standing(one)[world.before == 3].min() > 0.9
    assert world.standing((world.since + 50).astype(np.int32)).max() < 0.1


def test_without_anything_to_compare_trust_is_what_it_was_before_anything_was_heard() -> None:
    silent = make(0, ALL, ALL, newer=0)
    np.testing.assert_allclose(silent.standing(), 0.95)
    np.testing.assert_allclose(make(0, [0], [0]).standing(), 0.95)
    labels = np.arange(40, dtype=np.int32)  # no two older answers are the same
    vectors = silent.vectors[:40]
    np.testing.assert_allclose(measure_standing(vectors, labels, labels < 20)[:20], 0.95)
    assert (measure_standing(vectors, labels, labels < 0) == 1.0).all()


def test_a_datasets_older_questions_get_the_trust_that_they_have_kept() -> None:
    world = make(0, ALL, ALL)
    said = np.where(world.intents < len(MOVED), world.intents + 50, world.intents)
    said[: world.older] = world.before
    rows = [row(f"question {i}", f"intent {one}", seq=i) for i, one in enumerate(said)]
    changed_seq = world.older - 1
    terms = replace(LEARNING_TERMS, changed_seq=changed_seq)
    dataset = build_dataset("shop", rows, allow("teacher"), Redactor(()), terms=terms)
    assert judge_trust(dataset, world.vectors, ()) is dataset
    judged = judge_trust(dataset, world.vectors, (changed_seq,))
    stands = np.array([one.stands for one in judged.questions])
    np.testing.assert_array_equal(
        stands, (np.arange(len(said)) >= world.older) | (world.intents >= len(MOVED))
    )
    assert judged.trust[world.older :].min() == 1.0
    assert OLD_TRUST <= judged.trust[~stands].min() <= judged.trust[~stands].max() < 0.15
    np.testing.assert_allclose(judged.weights, judged.trust)
    # Another alarm soon after, before much has come, gives nothing back.
    again = judge_trust(dataset, world.vectors, (changed_seq, len(said) - 20))
    assert again.trust[: world.older].max() <= judged.trust[: world.older].max()
    assert not any(one.stands for one, ok in zip(again.questions, stands, strict=True) if not ok)
    assert judged.describe(kept=False)["before_change"] == world.older
