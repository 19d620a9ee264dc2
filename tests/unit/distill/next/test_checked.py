"""Which drafts count, and for how many interactions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from distill.dataset.model import Tally
from distill.next.checked import Checked, gather, shorten, thin_out
from policies.types import Answer
from router.generative.rung import BEFORE
from router.record.redact import Redactor
from router.wire.openai import answer_to_json
from tests.unit.distill.learning_rows import allow, row


def drafted(text: str, teacher: str, draft: str, propensity: float = 1.0, **changes: Any) -> Any:
    fields = {
        "draft": answer_to_json(Answer(content=draft)),
        "draft_agreed": teacher == draft,
        "release": "r2",
        "propensity": propensity,
    }
    return row(text, teacher, **{**fields, **changes})


def check(*rows: Any) -> tuple[list[Checked], dict[str, int]]:
    tally = Tally()
    redactor = Redactor(["email"])
    return gather(rows, allow("teacher"), redactor, "r2", tally), tally.dropped


def test_an_answer_counts_as_often_as_it_was_unlikely() -> None:
    found, _ = check(
        drafted("Where is it", "parcel", "parcel", 0.05),
        drafted("where  is it", "parcel", "refund", 0.5),
        drafted("I want it back", "<think>money</think> refund", "parcel"),
    )
    back, where = found
    assert (where.asked, where.wrong) == (pytest.approx(22.0), pytest.approx(2.0))
    assert (where.teacher, where.draft) == ("parcel", "refund")
    assert (back.asked, back.wrong, back.teacher) == (1.0, 1.0, "refund")


def test_what_another_release_drafted_or_nobody_compared_does_not_count() -> None:
    found, dropped = check(
        drafted("a", "parcel", "refund", release="r1"),
        drafted("b", "parcel", "refund", draft_agreed=None),
        replace(drafted("c", "parcel", "refund"), draft=None),
        drafted("d", "parcel", "refund", evidence={BEFORE: 0.0}),
    )
    assert (found, dropped) == ([], {})


def test_what_may_not_be_learned_does_not_count() -> None:
    found, dropped = check(
        drafted("a", "parcel", "refund", teacher_model="other"), drafted(" ", "parcel", "refund")
    )
    assert (found, dropped) == ([], {"licence": 1, "no_text": 1})


def test_texts_and_answers_are_redacted() -> None:
    (found,), _ = check(drafted("I am a@b.example", "mail a@b.example", "to c@d.example"))
    assert (found.text, found.teacher) == ("I am [email]", "mail [email]")
    assert found.draft == "to [email]"


def test_a_sample_stands_for_all() -> None:
    checked = [Checked(text=f"q {i}", asked=2.0, wrong=2.0 * (i < 50)) for i in range(80)]
    kept = thin_out(checked, 20, seed=1)
    assert sum(bool(one.wrong) for one in kept) == 20
    assert sum(one.asked for one in kept) == pytest.approx(160.0)
    assert sum(one.wrong for one in kept) == pytest.approx(100.0)
    assert kept == thin_out(checked, 20, seed=1)
    assert thin_out(checked, 50, seed=1) == checked


def test_shorten() -> None:
    assert shorten("a  b\nc", 5) == "a b c"
    assert shorten("one two", 5) == "one…"
