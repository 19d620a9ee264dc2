"""What becomes of a student that a cycle trained. The training and its drafts are made up here:
``tests/integration/training`` does both."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distill.writing
from distill.cycle import run_cycle
from distill.dataset.folder import list_kept, withdraw
from distill.generative import Learned, adopt
from distill.heartbeat import hold
from distill.learner import Learner, Outcome
from distill.train.gate_alone import fit_over
from distill.train.job import NotTrainable, TrainingFailed
from distill.train.judging import Judged, Judgement
from distill.train.onward import Course, Taught
from distill.writing import NotJudged, Withdrawn
from policies.scoring.gate import Gate
from policies.types import Answer
from router.record.model import Interaction
from router.record.redact import Redactor
from router.record.store import Store
from router.settings.model import Settings
from router.students.encoder import Encoder
from router.wire.openai import answer_to_json
from tests.integration.learning.shop import TEACHER, Shop
from tests.unit.router.generative.test_student import write_adapter
from tests.unit.router.record.records import make_record

ROWS = 600
ENCODER = Encoder(threads=1)
SETTINGS = Settings.model_validate(
    {
        "models": {
            "teacher": TEACHER,
            "student": {"kind": "openai", "upstream": "http://127.0.0.1:9/v1", "model": "small"},
        },
        "learning": {"train": "./weights"},
        "store": {"url": "sqlite:///t.db"},
    }
)


def make_texts() -> list[tuple[str, str]]:
    """Messages that hardly share a word: like ones would become one question."""
    rng = np.random.default_rng(1)
    words = [
        ["".join(rng.choice(list("abcdefghij"), size=6)) for _ in range(4)] for _ in range(ROWS)
    ]
    return [(" ".join(some), "parcel" if i % 3 else "login") for i, some in enumerate(words)]


def fit_gate() -> Gate:
    """Of drafts of which the sure ones are right."""
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.0, 1.0, 200)
    right = rng.uniform(0.0, 1.0, 200) < sure
    return fit_over(
        [{"mean_logprob": float(one)} for one in sure], right, np.ones(200), seed=0
    ).fitted.gate


def record_of(i: int, text: str, label: str, **changes: Any) -> Interaction:
    fields = {
        "created_at": time.time(),
        "workload": "shop",
        "group": "",
        "request": {"messages": [{"role": "user", "content": text}]},
        "input_text": text,
        "teacher_answer": answer_to_json(Answer(content=label)),
    }
    return make_record(f"i-{i}", **{**fields, **changes})


def open_shop(folder: Path, *, drafted_by_the_one_in_force: bool) -> tuple[Store, Path]:
    """A store with answers, and a student in force whose drafts of half of them agreed."""
    shop = Shop(folder=folder)
    first = write_adapter(folder / "first")
    store = shop.open()
    held = adopt(
        SETTINGS,
        store,
        shop.releases,
        "shop",
        source=first,
        learned=Learned(comparer="label", gate=fit_gate()),
    )
    store.set_active("shop", held.digest, "it was made")
    store.close()
    drafts: dict[str, Any] = {}
    if drafted_by_the_one_in_force:
        drafts = {"release": held.digest, "draft_agreed": True, "confidence": 0.9}
    store = shop.open()
    texts = enumerate(make_texts())
    records = [record_of(i, text, label, **drafts) for i, (text, label) in texts]
    store.append(records)
    return store, shop.releases


def teach(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, agreed: bool, gate: Gate | None
) -> list[Course]:
    """A training whose drafts for what was held out all agree, or none does."""
    courses: list[Course] = []

    def train_and_judge(course: Course, watching: object) -> Taught:
        courses.append(course)
        drafts = [
            Judged(example=one, signals={"mean_logprob": 1.0}, fit=True, agreed=agreed)
            for one in course.bundle.examples
            if one.split == "held_out"
        ]
        return Taught(
            adapter=write_adapter(folder / f"trained-{len(courses)}", b"second"),
            judgement=Judgement(drafts=drafts, gate=gate, why="", report={}),
            problem="" if gate else "No draft was right.",
            report={"recipe": "sequence", "examples": ROWS, "curve": str(folder / "curve.jsonl")},
        )

    monkeypatch.setattr(distill.writing, "train_and_judge", train_and_judge)
    return courses


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """While the student is being trained, something else happens."""
    whole = distill.writing.train_and_judge

    def train_and_judge(*given: Any) -> Taught:
        act()
        return whole(*given)

    monkeypatch.setattr(distill.writing, "train_and_judge", train_and_judge)


def run(store: Store, folder: Path, releases: Path) -> Outcome:
    return run_cycle(
        Learner(
            settings=SETTINGS.model_copy(
                update={"store": SETTINGS.store.model_copy(update={"url": store.url})}
            ),
            store=store,
            encoder=ENCODER,
            redactor=Redactor(()),
            folder=releases,
            datasets=folder / "t-datasets",
            drafts="served",
        ),
        "shop",
    )


def test_a_worse_student_is_out_before_anybody_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=True)
    held = store.active_releases()
    teach(monkeypatch, tmp_path, agreed=False, gate=fit_gate())
    outcome = run(store, tmp_path, releases)
    assert outcome.result == "rejected"
    assert outcome.release is not None
    found = store.release(outcome.release.digest)
    assert found is not None
    assert found.state == "rejected"
    assert found.report["rungs"][0]["verdict"] == "failed"
    assert found.report["rungs"][0]["difference"] == pytest.approx(-1.0)
    assert store.active_releases() == held
    store.close()


@pytest.mark.parametrize("compared", [120, 0])
def test_one_that_is_not_worse_is_tried_on_live_traffic(
    compared: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=compared > 0)
    teach(monkeypatch, tmp_path, agreed=True, gate=fit_gate())
    outcome = run(store, tmp_path, releases)
    assert outcome.result == "on_trial", outcome.sentence
    first = outcome.detail["rungs"][0]
    # No 120 questions can tell a loss of two points from none.
    assert (first["name"], first["verdict"]) == ("agreement", "skipped")
    assert first["questions"] == compared
    (tried,) = store.staged()
    assert outcome.release is not None
    assert tried.digest == outcome.release.digest
    store.close()


def test_without_a_gate_nothing_is_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    teach(monkeypatch, tmp_path, agreed=False, gate=None)
    outcome = run(store, tmp_path, releases)
    assert (outcome.result, outcome.release) == ("rejected", None)
    assert "No draft was right." in outcome.sentence
    store.close()


def test_what_the_servers_did_not_draft_is_judged_by_the_next_cycle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    courses = teach(monkeypatch, tmp_path, agreed=True, gate=fit_gate())
    whole, none = distill.writing.train_and_judge, {"judgement": None, "problem": "No server."}
    monkeypatch.setattr(
        distill.writing, "train_and_judge", lambda *given: replace(whole(*given), **none)
    )
    with pytest.raises(NotJudged, match="No server"):
        run(store, tmp_path, releases)
    monkeypatch.setattr(distill.writing, "train_and_judge", whole)
    store.append([record_of(ROWS, "one more", "login")])
    assert run(store, tmp_path, releases).result == "on_trial"
    first, second = courses
    assert first.bundle.digest == second.bundle.digest
    store.close()


def test_the_release_that_came_into_force_meanwhile_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    (held,) = store.active_releases().values()
    store.retire_active("shop", "none for now")
    teach(monkeypatch, tmp_path, agreed=True, gate=fit_gate())
    meanwhile(monkeypatch, lambda: store.set_active("shop", held, "an operator did"))
    assert run(store, tmp_path, releases).result == "on_trial"
    assert store.active_releases() == {"shop": held}
    store.close()


def test_one_that_learned_from_what_was_erased_is_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    courses = teach(monkeypatch, tmp_path, agreed=True, gate=fit_gate())
    whole = distill.writing.train_and_judge

    def erase() -> None:
        (kept,) = list_kept(tmp_path / "t-datasets")
        withdraw(kept, "somebody asked for it", time.time(), None)

    meanwhile(monkeypatch, erase)
    before = store.releases()
    with pytest.raises(Withdrawn):
        run(store, tmp_path, releases)
    assert store.releases() == before
    monkeypatch.setattr(distill.writing, "train_and_judge", whole)
    store.append([record_of(ROWS, "one more", "login")])
    assert run(store, tmp_path, releases).result == "on_trial"
    first, second = courses
    assert first.bundle.digest != second.bundle.digest
    store.close()


@pytest.mark.parametrize(("failure", "again"), [(TrainingFailed, True), (NotTrainable, False)])
def test_a_failed_training_is_taken_up_again_unless_it_can_only_fail(
    failure: type[Exception], again: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    courses: list[Course] = []

    def train_and_judge(course: Course, watching: object) -> Taught:
        courses.append(course)
        raise failure("it failed")

    monkeypatch.setattr(distill.writing, "train_and_judge", train_and_judge)
    for i in range(2):
        store.append([record_of(ROWS + i, f"one more {i}", "login")])
        with pytest.raises(failure):
            run(store, tmp_path, releases)
    first, second = courses
    assert (first.bundle.digest == second.bundle.digest) == again
    store.close()


def test_where_all_answers_are_alike_nothing_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    opening = {"messages": [{"role": "user", "content": "always the same opening"}]}
    like = [record_of(ROWS + i, f"{i} {i * i}", "login", request=opening) for i in range(400)]
    store.append(like)  # the newest, and in one group: the newest fifth can't be held out
    courses = teach(monkeypatch, tmp_path, agreed=True, gate=fit_gate())
    run(store, tmp_path, releases)
    assert courses == []
    store.close()


def test_two_never_train_one_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, releases = open_shop(tmp_path, drafted_by_the_one_in_force=False)
    courses = teach(monkeypatch, tmp_path, agreed=True, gate=fit_gate())
    with hold(store, "train:shop") as held:
        assert held is not None
        outcome = run(store, tmp_path, releases)
    assert (outcome.result, courses) == ("busy", [])
    store.close()
