"""Corrections: they count as gold, within bounds that no key can pass by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from distill.dataset import BuildTerms, Dataset, build_dataset
from distill.dataset.gold import CLASS_SHARE, KEY_SHARE
from router.record.model import Corrected, Feedback, TrainingRow
from router.record.redact import Redactor
from tests.unit.distill.learning_rows import allow, row

GOLD = BuildTerms(near=None, held_out=0.0, target="gold")


def build(
    rows: Iterable[TrainingRow], corrected: Iterable[Corrected], terms: BuildTerms = GOLD
) -> Dataset:
    return build_dataset(
        "shop", rows, allow("teacher"), Redactor(()), corrected=corrected, terms=terms
    )


def correct(given: TrainingRow, correction: str | None, score: float | None = None) -> Corrected:
    return Corrected(
        seq=given.seq,
        id=given.id,
        created_at=given.created_at,
        tenant=given.tenant,
        key_name=given.key_name,
        group="",
        comparer="label",
        input_text=given.input_text,
        request=given.request,
        teacher_answer=given.teacher_answer,
        teacher_model="teacher",
        feedback=Feedback(interaction_id=given.id, correction=correction, score=score),
    )


def traffic(count: int, key: str = "honest", answers: int = 4, start: int = 0) -> list[TrainingRow]:
    return [
        row(f"{key} q{i}", f"a{i % answers}", id=f"{key}{i}", seq=i, key_name=key)
        for i in range(start, start + count)
    ]


def test_a_correction_becomes_what_is_taught_and_the_answer_what_is_worse() -> None:
    rows = traffic(100)
    found = build(rows, [correct(rows[3], "a0")])
    example = found.bundle.examples[3]
    assert example.target["content"] == "a0"
    assert [answer["content"] for answer in example.rejected] == ["a3"]
    assert found.answers[found.classes[3]]["content"] == "a0"
    assert found.bundle.manifest["gold"] == {"admitted": 1}


def test_under_a_promise_the_teacher_is_taught_and_a_correction_only_refutes() -> None:
    rows = [*traffic(99), row("why", "<think>So it is.</think>a1", id="t", seq=99)]
    found = build(rows, [correct(rows[99], "a2")], replace(GOLD, target="teacher"))
    example = found.bundle.examples[99]
    assert (example.target["content"], example.gold) == ("a1", None)
    assert found.bundle.manifest["reasoning"] == {"dropped_wrong": 1}


def test_reasoning_that_a_client_scored_below_zero_is_not_taught() -> None:
    rows = [row("why", "<think>So it is.</think>a1", id="t")]
    found = build(rows, [correct(rows[0], None, score=-0.5)])
    assert found.bundle.examples[0].target["content"] == "a1"
    assert build(rows, []).bundle.examples[0].target["content"].startswith("<think>")


def test_one_key_may_correct_a_share_of_all_and_of_each_answer_and_the_newest_count() -> None:
    rows = traffic(400) + traffic(100, key="loud", answers=2)
    found = build(rows, [correct(one, "spam") for one in rows[400:]])
    counts = found.bundle.manifest["gold"]
    assert counts["admitted"] == int(KEY_SHARE * 500)
    assert counts["admitted"] + counts["over_share"] == 100
    corrected = [e for e in found.bundle.examples if e.gold is not None]
    assert min(int(e.id.removeprefix("loud")) for e in corrected) == 75
    assert {e.sources[0].key_name for e in corrected} == {"loud"}


def test_a_rare_answer_cannot_be_taken_over() -> None:
    rare = [row(f"rare {i}", "rare", id=f"r{i}", seq=500 + i, key_name="loud") for i in range(10)]
    rows = traffic(490) + rare
    found = build(rows, [correct(one, "spam") for one in rare])
    assert found.bundle.manifest["gold"]["admitted"] == int(CLASS_SHARE * 10)
    left = [e for e in found.bundle.examples if e.target["content"] == "rare"]
    assert len(left) == 8


@pytest.mark.parametrize(("correctors", "stands"), [(["loud"], False), (["loud", "honest"], True)])
def test_what_others_asked_too_takes_two_keys(correctors: Sequence[str], stands: bool) -> None:
    keys = ("honest", "loud", "third")
    same = [row("the same", "a1", id=f"s-{k}", seq=200 + i, key_name=k) for i, k in enumerate(keys)]
    rows = traffic(100) + same
    by_key = {one.key_name: one for one in same}
    found = build(rows, [correct(by_key[key], "a2") for key in correctors])
    taught = next(e for e in found.bundle.examples if e.text == "the same").target["content"]
    assert taught == ("a2" if stands else "a1")
    assert ("uncorroborated" in found.bundle.manifest["gold"]) is not stands


def test_a_correction_that_agrees_with_the_teacher_changes_nothing() -> None:
    rows = traffic(100)
    found = build(rows, [correct(rows[0], "A0.")])
    assert found.bundle.manifest["gold"] == {"confirmed": 1}
    assert found.bundle.examples == build(rows, []).bundle.examples


def test_a_question_that_only_a_client_answered() -> None:
    rows = traffic(100)
    alone = correct(row("new one", "?", id="alone", seq=900, key_name="honest"), "a2")
    found = build(rows, [replace(alone, teacher_answer=None)])
    example = found.bundle.examples[-1]
    assert (example.text, example.answer, example.target["content"]) == ("new one", None, "a2")
    under_promise = build(rows, [alone], replace(GOLD, target="teacher"))
    assert under_promise.dropped == {"correction_alone": 1}


def test_another_tenants_corrections_are_not_seen() -> None:
    rows = traffic(100)
    found = build(rows, [replace(correct(rows[0], "a2"), tenant="other")])
    assert found.bundle.manifest["gold"] == {}
