"""A cycle that tunes an encoder, and those after it. A stand-in trains: it hands over weights."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from distill.cycle import run_cycle
from distill.learner import Learner
from distill.train.job import TrainingFailed
from distill.train.tuned import Tuner
from router.errors import ReleaseError
from router.record.redact import Redactor
from router.record.store import Store
from router.release import Release, load_release
from router.students.encoder import WEIGHTS_SHA256, Encoder
from router.students.space import FOLDER
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Said, Shop, interactions
from tests.integration.learning.trainer import write_trainer
from tests.unit.distill.learning_rows import allow

MESSAGES = make_messages(700, seed=1)
ENCODER = Encoder(threads=1)
WORKLOAD = "support"


@pytest.fixture
def python(tmp_path: Path) -> str:
    return write_trainer(tmp_path)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(folder=tmp_path)


@pytest.fixture
def store(shop: Shop) -> Iterator[Store]:
    opened = shop.open()
    yield opened
    opened.close()


@pytest.fixture
def learner(store: Store, shop: Shop) -> Learner:
    return Learner(
        settings=allow("teacher"),
        store=store,
        encoder=ENCODER,
        redactor=Redactor(()),
        folder=shop.releases,
    )


def add(store: Store, messages: list[tuple[str, str]], prefix: str, at: float) -> None:
    store.append(list(interactions(messages, prefix, created_at=at)))


def in_force(store: Store) -> Release:
    row = store.release(store.active_releases()[WORKLOAD])
    assert row is not None
    return load_release(Path(row.path))


def make_tuner(python: str, folder: Path, base: str = "some") -> Tuner:
    return Tuner(python=python, folder=folder / "training", base=base)


def test_a_tuned_encoder_is_judged_on_what_it_did_not_see_and_serves(
    store: Store, learner: Learner, python: str, tmp_path: Path
) -> None:
    add(store, MESSAGES[:500], "a", 1_000.0)
    outcome = run_cycle(replace(learner, tuner=make_tuner(python, tmp_path)), WORKLOAD)
    assert outcome.result == "promoted"
    told = outcome.detail["encoder"]
    seen = json.loads((tmp_path / "training" / "seen.json").read_text())
    questions = outcome.detail["dataset"]["questions"]
    assert told["questions"] == 100
    assert len(seen) == questions - 100
    assert set(told["agreement"]) == {"common", "tuned", "both"}
    assert outcome.held_out is not None


def test_later_cycles_learn_over_it_from_what_is_new(
    store: Store, learner: Learner, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.train.tuned.choose", lambda heads: "both")
    add(store, MESSAGES[:400], "a", 1_000.0)
    first = run_cycle(replace(learner, tuner=make_tuner(python, tmp_path)), WORKLOAD)
    assert first.result == "promoted"
    release = in_force(store)
    assert release.encoder == f"{WEIGHTS_SHA256}+tuned:{WEIGHTS_SHA256}"
    right = [release.draft(text, ENCODER)[0].content == label for text, label in MESSAGES[600:]]
    assert np.mean(right) > 0.8
    add(store, MESSAGES[400:450], "b", 2_000.0)
    early = run_cycle(learner, WORKLOAD)
    assert early.result == "too_few"
    assert "encoder was tuned" in early.sentence
    assert in_force(store).digest == release.digest
    add(store, MESSAGES[450:600], "c", 3_000.0)
    later = run_cycle(learner, WORKLOAD)
    assert later.result == "promoted"
    assert in_force(store).encoder == release.encoder
    assert in_force(store).digest != release.digest
    assert later.held_out is not None
    assert 100 <= len(later.held_out.ids) <= 200


def test_a_release_whose_encoder_is_gone_is_refused(
    store: Store, learner: Learner, python: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.train.tuned.choose", lambda heads: "tuned")
    add(store, MESSAGES[:300], "a", 1_000.0)
    run_cycle(replace(learner, tuner=make_tuner(python, tmp_path)), WORKLOAD)
    assert in_force(store).space.tuned is not None
    (learner.folder / FOLDER / f"{WEIGHTS_SHA256}.onnx").unlink()
    with pytest.raises(ReleaseError, match="encoder is missing"):
        in_force(store)


def test_why_nothing_was_trained_is_told(
    python: str, store: Store, learner: Learner, tmp_path: Path
) -> None:
    add(store, MESSAGES[:200], "a", 1_000.0)
    tuner = make_tuner(python, tmp_path, base="nothing")
    with pytest.raises(TrainingFailed, match="nothing is no encoder"):
        run_cycle(replace(learner, tuner=tuner), WORKLOAD)
    assert store.cycles(1, WORKLOAD)[0].outcome == "failed"


def test_the_command_says_which_vectors_won(shop: Shop, python: str) -> None:
    shop.answer(MESSAGES[:300])
    said: Said = shop.run("distill", "train", WORKLOAD, "--recipe", "encoder", "--python", python)
    assert said.code == 0, said.err
    assert "learned from" in said.out
    assert "Vectors: " in said.out
    assert "loss curve: " in said.out


@pytest.mark.parametrize(
    "words, told",
    [
        (["--recipe", "encoder", "--rank", "8"], "--rank is for students that write"),
        (["--recipe", "encoder", "--no-gate"], "--no-gate is for students that write"),
        (["--recipe", "sequence"], "needs --base"),
    ],
)
def test_options_of_the_other_kind_are_refused(shop: Shop, words: list[str], told: str) -> None:
    shop.answer(MESSAGES[:20])
    said = shop.run("distill", "train", WORKLOAD, *words)
    assert said.code == 2
    assert told in said.err
