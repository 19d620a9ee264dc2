"""Whose drafts teach the gate of a student behind a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from distill.generative import keep_drafts_of
from router.generative.rung import BEFORE
from router.generative.student import Adapter, GenerativeStudent
from router.record.model import TrainingRow
from tests.unit.distill.learning_rows import row

ADAPTER = Adapter(digest="ab" * 32, folder=Path("/adapters/ab"))
BASE = GenerativeStudent(base="small")
TUNED = GenerativeStudent(base="small", adapter=ADAPTER)


def drafted(name: str) -> TrainingRow:
    return replace(row("q", "a"), id=name, draft_agreed=True, evidence={"mean_logprob": 1.0})


def test_only_the_drafts_of_the_very_student_count() -> None:
    by = {
        "base": "small",
        "dated": "small-2026-01-01",
        "tuned": ADAPTER.name,
        "other": "student@" + "0" * 16,
        "large": "large",
    }
    rows = [drafted(name) for name in (*by, "unknown")]

    def kept(student: GenerativeStudent) -> list[str]:
        found = list(keep_drafts_of(student, rows, by))
        assert [one.id for one in found] == [one.id for one in rows]
        return [one.id for one in found if one.evidence]

    assert kept(BASE) == ["base", "dated"]
    assert kept(TUNED) == ["tuned"]


def test_a_further_models_draft_is_not_the_students() -> None:
    one = replace(drafted("base"), evidence={BEFORE: 1.0, "mean_logprob": 1.0})
    (kept,) = keep_drafts_of(BASE, [one], {"base": "small"})
    assert (kept.draft_agreed, kept.evidence) == (None, {})
