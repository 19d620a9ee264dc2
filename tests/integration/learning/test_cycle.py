"""A learning cycle from records to a release in force, on a real store and a real encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distill.cycle import run_cycle
from distill.learner import Learner
from policies.types import Answer
from router.errors import ReleaseError
from router.record.model import Cycle
from router.record.redact import Redactor
from router.record.store import Store
from router.release import load_release
from router.settings.model import Settings
from router.students.encoder import Encoder
from router.wire.openai import answer_to_json
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop, interactions
from tests.unit.distill.learning_rows import allow

MESSAGES = make_messages(260, seed=1)
ENCODER = Encoder(threads=1)
WORKLOAD = "support"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Shop(folder=tmp_path).open()
    yield opened
    opened.close()


@pytest.fixture
def learner(store: Store, tmp_path: Path) -> Learner:
    return Learner(
        settings=allow("teacher"),
        store=store,
        encoder=ENCODER,
        redactor=Redactor(()),
        folder=tmp_path / "t-releases",
    )


def add(store: Store, messages: list[tuple[str, str]], prefix: str = "i", **changes: Any) -> None:
    store.append(list(interactions(messages, prefix, **changes)))


def last_cycle(store: Store) -> Cycle:
    return store.cycles(1, WORKLOAD)[0]


def test_answers_become_a_release_in_force(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:200])
    outcome = run_cycle(learner, WORKLOAD)
    assert outcome.result == "promoted"
    assert outcome.release is not None
    assert store.active_releases() == {WORKLOAD: outcome.release.digest}
    cycle = last_cycle(store)
    assert (cycle.outcome, cycle.answers_seen) == ("promoted", 200)
    assert cycle.detail["dataset"]["questions"] == 200
    assert cycle.detail["rungs"][0]["verdict"] == "skipped"
    release = load_release(Path(outcome.release.path))
    right = 0
    for text, label in MESSAGES[200:]:
        answer, evidence = release.draft(text, ENCODER)
        right += answer.content == label
        assert evidence.confidence is not None
    assert right / 60 > 0.8
    assert not list(learner.folder.glob(".draft-*"))


def test_a_cycle_tells_how_far_it_is_and_what_its_student_learned(
    store: Store, learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, MESSAGES[:200])
    told: list[str] = []
    note = store.note_cycle

    def listen(cycle_id: str, detail: Mapping[str, Any]) -> None:
        note(cycle_id, detail)
        told.append(last_cycle(store).detail["progress"]["name"])

    monkeypatch.setattr(store, "note_cycle", listen)
    run_cycle(learner, WORKLOAD)
    detail = last_cycle(store).detail
    names = list(dict.fromkeys(told))
    assert names == ["reading", "encoding", "training", "judging", "explaining"]
    assert detail["core_seconds"] > 0
    assert [step["name"] for step in detail["steps"]] == names
    assert "progress" not in detail
    assert [point["questions"] for point in detail["curve"]] == [50, 100, 200]
    assert detail["curve"][-1]["agreement"] > 0.8
    failed = sum(place["questions"] for place in detail["clusters"])
    assert failed == round(200 * (1 - detail["curve"][-1]["agreement"])) > 0
    asked = {one.id for one in store.latest(300)}
    assert {name for place in detail["clusters"] for name in place["examples"]} <= asked


def test_who_stops_a_cycle_that_has_decided_takes_nothing_back(
    store: Store, learner: Learner
) -> None:
    add(store, MESSAGES[:110])

    def judged() -> bool:
        return last_cycle(store).detail.get("progress", {}).get("name") == "judging"

    assert run_cycle(replace(learner, ended=judged), WORKLOAD).result == "promoted"
    assert last_cycle(store).outcome == "promoted"
    assert "curve" not in last_cycle(store).detail


def test_nobody_looks_at_what_a_replay_learns(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:150])
    outcome = run_cycle(replace(learner, live=False), WORKLOAD)
    assert outcome.result == "promoted"
    assert not {"curve", "clusters", "teacher_noise"} & outcome.detail.keys()


def test_four_like_questions_among_a_hundred_show_an_answer_that_contradicts(
    store: Store, learner: Learner
) -> None:
    """As a cycle meets them: three in other words, one that but for its case is another's."""
    parcel = [
        ("may I return the shoes?", "refund"),
        ("can I return these shoes?", "refund"),
        ("I want to return these shoes", "refund"),
        ("how do I return my shoes?", "parcel"),
        ("How do I return my shoes?", "parcel"),
    ]
    # Whatever else is asked here gets one answer, so that nothing else contradicts anything.
    others = [(text, "refund") for text, _ in MESSAGES[:60]]
    far = [(f"{text} {i}", "refund") for i, (text, _) in enumerate(MESSAGES[60:100])]
    add(store, [*others[:50], *parcel, *others[50:], *far])
    noise = run_cycle(learner, WORKLOAD).detail["teacher_noise"]
    assert (noise["questions"], noise["contradicted"], noise["outvoted"]) == (104, 1, 0)
    right = noise["right_there"]
    assert {name: score["known"] for name, score in right.items()} == dict.fromkeys(right, 0)


def test_the_same_answers_again_change_nothing(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:150])
    first, second = run_cycle(learner, WORKLOAD), run_cycle(learner, WORKLOAD)
    assert first.release is not None
    assert second.release is not None
    assert first.release.digest == second.release.digest
    assert len(store.releases()) == 1
    assert [event.action for event in store.release_events()] == ["promoted"]


@pytest.mark.parametrize(
    ("settings", "changes", "why"),
    [
        (allow(), {}, "120 licence"),
        (allow("teacher"), {"teacher_model": "other"}, "120 licence"),
        (allow("teacher"), {"input_text": "the same"}, "93 contradiction, 26 duplicate"),
    ],
)
def test_too_few_to_learn_from(
    store: Store, learner: Learner, settings: Settings, changes: dict[str, Any], why: str
) -> None:
    add(store, MESSAGES[:120], **changes)
    outcome = run_cycle(replace(learner, settings=settings), WORKLOAD)
    assert outcome.result == "too_few"
    assert why in outcome.sentence
    assert store.releases() == []
    assert not learner.folder.exists()


def test_answers_without_consent_are_not_even_seen(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:120], train_ok=False)
    outcome = run_cycle(learner, WORKLOAD)
    assert outcome.result == "too_few"
    assert "0 of 0 answers" in outcome.sentence


def test_an_open_ended_workload_keeps_its_teacher(store: Store, learner: Learner) -> None:
    add(store, [(text, f"Dear customer, {i}") for i, (text, _) in enumerate(MESSAGES)])
    outcome = run_cycle(learner, WORKLOAD)
    assert outcome.result == "open_ended"
    assert "the teacher keeps answering" in outcome.sentence
    assert (store.releases(), store.active_releases()) == ([], {})


def drafted(
    store: Store, digest: str, messages: list[tuple[str, str]], *, agreed: bool, prefix: str
) -> None:
    """Traffic that a release drafted as if it were sure and always, or never, right."""
    add(
        store,
        messages,
        prefix,
        release=digest,
        confidence=0.9999,
        draft=answer_to_json(Answer(content=messages[0][1])),
        draft_agreed=agreed,
    )


def test_a_worse_candidate_is_rejected_and_stays_so(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:110])
    first = run_cycle(learner, WORKLOAD)
    assert first.release is not None
    # What follows is labelled at random: no candidate can be as right as the drafts are said to be.
    rng = np.random.default_rng(3)
    labels = sorted({label for _, label in MESSAGES})
    noise = [(text, str(rng.choice(labels))) for text, _ in MESSAGES[110:]]
    drafted(store, first.release.digest, noise, agreed=True, prefix="n")
    second = run_cycle(learner, WORKLOAD)
    assert (second.result, last_cycle(store).outcome) == ("rejected", "rejected")
    assert "not promoted, by its agreement" in second.sentence
    assert second.release is not None
    assert store.active_releases() == {WORKLOAD: first.release.digest}
    rejected = store.release(second.release.digest)
    assert rejected is not None
    assert rejected.state == "rejected"
    # With none in force there is no ladder, yet what was ruled out stays out.
    store.retire_active(WORKLOAD, "test")
    third = run_cycle(learner, WORKLOAD)
    assert third.result == "rejected"
    assert "was rejected before" in third.sentence
    assert store.active_releases() == {}


def test_a_better_candidate_takes_over(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:110])
    first = run_cycle(learner, WORKLOAD)
    assert first.release is not None
    drafted(store, first.release.digest, MESSAGES[110:], agreed=False, prefix="n")
    second = run_cycle(learner, WORKLOAD)
    assert second.result == "promoted"
    verdicts = {rung["name"]: rung["verdict"] for rung in second.detail["rungs"]}
    assert verdicts["agreement"] == "passed"
    assert second.release is not None
    assert store.active_releases() == {WORKLOAD: second.release.digest}
    previous = store.previous_release(WORKLOAD)
    assert previous is not None
    assert previous.digest == first.release.digest


def test_two_cycles_at_once(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:110])
    running = store.begin_cycle(WORKLOAD, 110)
    assert running is not None
    outcome = run_cycle(learner, WORKLOAD)
    assert outcome.result == "busy"
    assert "another cycle is running" in outcome.sentence
    store.end_cycle(running, "promoted")
    assert run_cycle(learner, WORKLOAD).result == "promoted"


def test_a_release_that_cannot_be_written(store: Store, learner: Learner) -> None:
    add(store, MESSAGES[:110])
    learner.folder.write_text("a file is in the way")
    with pytest.raises(ReleaseError, match=r"can't be written to .*t-releases"):
        run_cycle(learner, WORKLOAD)
    assert last_cycle(store).outcome == "failed"
    assert "can't be written" in last_cycle(store).detail["error"]
    assert store.releases() == []
    learner.folder.unlink()
    assert run_cycle(learner, WORKLOAD).result == "promoted"


class Killed(BaseException):
    """Whatever ends a process in the middle of a cycle."""


@pytest.mark.parametrize("step", ["add_release", "set_active"])
def test_a_cycle_that_ends_between_two_steps(
    store: Store, learner: Learner, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    add(store, MESSAGES[:110])

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(store, step, die)
        with pytest.raises(Killed):
            run_cycle(learner, WORKLOAD)
    assert store.active_releases() == {}
    again = run_cycle(learner, WORKLOAD)
    assert again.result == "promoted"
    assert again.release is not None
    assert again.release.number == 1
    assert len(list(learner.folder.iterdir())) == 1


def test_tenants_learn_apart(store: Store, learner: Learner) -> None:
    keys = [{"name": name, "key_env": name.upper(), "train_on": True} for name in ("a", "b")]
    settings = allow("teacher", keys=keys, workloads=[{"name": "shop", "compare": "label"}])
    add(store, MESSAGES[:110], "a", workload="shop@a", tenant="a")
    add(store, [(text, "other") for text, _ in MESSAGES[:50]], "b", workload="shop@b", tenant="b")
    theirs = replace(learner, settings=settings)
    found = run_cycle(theirs, "shop@a")
    assert found.result == "promoted"
    assert found.release is not None
    answers = load_release(Path(found.release.path)).student
    assert answers is not None
    assert "other" not in {answer["content"] for answer in answers.answers}
    assert run_cycle(theirs, "shop@b").result == "too_few"
    assert set(store.active_releases()) == {"shop@a"}
