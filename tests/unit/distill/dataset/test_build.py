"""What may be learned from, and how much each question stands for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from distill.dataset import MAX_QUESTIONS, Dataset, build_dataset
from distill.dataset.model import LEARNING_TERMS
from distill.drift import OLD_TRUST
from router.record.model import TrainingRow
from router.record.redact import Redactor
from router.settings.model import Settings
from router.wire.profile import profile_of
from tests.unit.distill.learning_rows import allow, row

ALLOWED = allow("teacher")
PLAIN = Redactor(())


def build(
    rows: list[TrainingRow],
    settings: Settings = ALLOWED,
    redactor: Redactor = PLAIN,
    workload: str = "shop",
    seed: int = 0,
) -> Dataset:
    terms = replace(LEARNING_TERMS, seed=seed)
    return build_dataset(workload, iter(rows), settings, redactor, terms=terms)


def test_only_allowed_models_teach() -> None:
    given = [
        row("a", "x"),
        row("b", "y", teacher_model="other"),
        row("c", "z", teacher_model="untold"),
        row("d", "z", teacher_model="gone from the configuration"),
        row("e", "z", teacher_model=None),
    ]
    found = build(given)
    assert [question.text for question in found.questions] == ["a"]
    assert (found.rows, found.dropped) == (5, {"licence": 4})


def test_without_a_licence_nothing_is_left() -> None:
    found = build([row("a", "x")], allow())
    assert (list(found.questions), found.dropped, found.coverage) == ([], {"licence": 1}, 0.0)
    assert found.weights.shape == (0,)


def test_twins_become_one_question_with_the_newest_answer_and_all_the_weight() -> None:
    found = build(
        [
            row("Where is IT.", "parcel", propensity=0.25, release="r1", seq=1),
            row("reset", "login", seq=2),
            row("where  is it", "order", propensity=0.5, release="r2", seq=3),
        ]
    )
    by_text = {question.text: question for question in found.questions}
    twin = by_text["where  is it"]
    assert set(by_text) == {"reset", "where  is it"}
    assert (twin.weight, twin.key, twin.row.seq) == (6.0, "label:order", 3)
    assert twin.first_release == "r1"
    assert found.dropped == {"contradiction": 1}
    np.testing.assert_array_equal(found.weights, [1.0, 6.0])


def test_classes_index_the_commonest_form_of_each_answer() -> None:
    given = [row("a", "Parcel."), row("b", "parcel"), row("c", "parcel"), row("d", "login")]
    found = build(given)
    said = [found.answers[i]["content"] for i in found.classes]
    assert said == ["parcel", "parcel", "parcel", "login"]
    assert len(found.answers) == 2


def test_requests_are_not_kept() -> None:
    assert build([row("a", "x")]).questions[0].row.request is None


def test_what_was_stored_before_redaction_is_redacted_now() -> None:
    given = [row("mail me at jo@example.com", "Sent to jo@example.com.")]
    found = build(given, redactor=Redactor(("email",)))
    assert "example.com" not in str((found.questions, found.answers))
    assert found.questions[0].text == "mail me at [email]"


def test_what_cannot_be_compared_or_read_is_counted() -> None:
    given = [row("a", "x"), row(" ", "x"), row("b", "nothing numeric here", comparer="number")]
    settings = allow("teacher", workloads=[{"name": "shop", "compare": "number"}])
    assert build(given, settings).dropped == {"not_comparable": 3}
    assert build(given[:2]).dropped == {"no_text": 1}


def test_the_configured_comparer_wins_then_the_commonest() -> None:
    given = [row("a", "x", comparer="text"), row("b", "y"), row("c", "y")]
    assert build(given).comparer == "label"
    settings = allow("teacher", workloads=[{"name": "shop", "compare": "text"}])
    assert build(given, settings).comparer == "text"


def test_settings_of_a_workload_are_found_for_each_of_several_tenants() -> None:
    keys = [{"name": name, "key_env": name.upper()} for name in ("a", "b")]
    settings = allow("teacher", keys=keys, workloads=[{"name": "shop", "compare": "text"}])
    assert build([row("a", "x")], settings, workload="shop@b").comparer == "text"
    assert build([row("a", "x")], settings, workload="shop@c").comparer == "label"


def test_coverage_is_the_share_of_answers_that_were_seen_before() -> None:
    closed = build([row(f"q{i}", f"a{i % 4}") for i in range(40)])
    assert closed.coverage == 1.0
    # One question asked again and again says nothing about the next question.
    repeated = [row("again", "same") for _ in range(30)]
    open_ended = build([*[row(f"q{i}", f"a{i}") for i in range(40)], *repeated])
    assert open_ended.coverage == 0.0


def test_of_too_many_questions_a_random_sample_keeps_the_total_weight() -> None:
    given = [row(f"q{i}", f"a{i % 3}") for i in range(MAX_QUESTIONS + 1000)]
    found, other = build(given), build(given, seed=1)
    assert len(found.questions) == MAX_QUESTIONS
    assert found.dropped == {"sampled_out": 1000}
    assert found.weights.sum() == pytest.approx(len(given))
    texts = [question.text for question in found.questions]
    assert texts == sorted(texts, key=lambda text: int(text[1:]))
    assert texts != [question.text for question in other.questions]
    assert found.digest == build(given).digest != other.digest


def test_the_digest_follows_the_content() -> None:
    base = build([row("a", "x"), row("b", "y")])
    assert base.digest == build([row("a", "x"), row("b", "y")]).digest
    for changed in (
        build([row("a", "x"), row("b", "z")]),
        build([row("a", "x"), row("c", "y")]),
        build([row("a", "x", propensity=0.5), row("b", "y")]),
        build([row("a", "x"), row("b", "y")], workload="else"),
        build([row("a", "x", id="else"), row("b", "y")]),
        build([row("a", "x"), row("b", "y")], seed=1),
        build([row("a", "x", comparer="text"), row("b", "y", comparer="text")]),
    ):
        assert changed.digest != base.digest


def ask(system: str, text: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    return {"messages": messages, **more}


def test_profiles_that_were_asked_often_are_learned() -> None:
    rows = [row(f"q{i}", "parcel", request=ask("Sort.", f"q{i}")) for i in range(30)]
    rows.append(row("odd", "parcel", request=ask("In French.", "odd", stop=["r"])))
    built = build_dataset("shop", rows, allow("teacher"), Redactor(()))
    usual, odd = profile_of(ask("Sort.", "")), profile_of(ask("In French.", "", stop=["r"]))
    assert (built.forms, built.prompts) == ({usual.form}, {usual.prompt})
    assert odd.form not in built.forms


def test_instructions_that_vary_with_every_request_are_no_part_of_the_profile() -> None:
    rows = [row(f"q{i}", "parcel", request=ask(f"It is {i} o'clock.", f"q{i}")) for i in range(40)]
    built = build_dataset("shop", rows, allow("teacher"), Redactor(()))
    assert built.prompts is None
    assert len(built.forms) == 1


def test_what_was_said_before_a_change_is_trusted_less() -> None:
    rows = [row("a", "x", seq=1), row("b", "y", seq=2), row("c", "x", seq=3), row("a", "z", seq=4)]
    found = build_dataset(
        "shop", rows, ALLOWED, PLAIN, terms=replace(LEARNING_TERMS, changed_seq=2)
    )
    trust = {question.text: question.trust for question in found.questions}
    # Of a question that was asked again since, only the new answer counts.
    assert trust == {"a": 1.0, "b": OLD_TRUST, "c": 1.0}
    assert sorted(found.weights) == sorted([OLD_TRUST, 1.0, 2.0])
    assert found.describe(kept=False)["before_change"] == 1
    assert found.digest != build(rows).digest
    assert build(rows).describe(kept=False)["before_change"] == 0


def test_a_dataset_that_is_not_kept_is_not_sealed() -> None:
    found = build([row(f"question {n}", "parcel", id=f"int_{n}") for n in range(3)])
    assert found.describe(kept=False)["digest"] is None
    assert "bundle" not in vars(found)
    assert found.describe(kept=True)["digest"] == found.bundle.digest
