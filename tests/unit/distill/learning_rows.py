"""Rows to learn from, and settings that allow it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from policies.types import Answer, Tier
from router.record.model import TrainingRow
from router.settings.model import Settings
from router.wire.openai import answer_to_json

ROW = TrainingRow(
    seq=1,
    id="int_1",
    created_at=100.0,
    workload="shop",
    tenant="shop",
    group="",
    comparer="label",
    input_text="where is my parcel",
    request={"messages": [{"role": "user", "content": "where is my parcel"}]},
    teacher_answer=answer_to_json(Answer(content="parcel")),
    teacher_model="teacher",
    teacher_version=None,
    tier=Tier.TEACHER,
    draft=None,
    draft_agreed=None,
    evidence={},
    confidence=None,
    release=None,
    propensity=1.0,
)


def row(text: str, answer: str, **changes: Any) -> TrainingRow:
    """The teacher's ``answer`` to ``text``."""
    return replace(
        ROW, input_text=text, teacher_answer=answer_to_json(Answer(content=answer)), **changes
    )


def allow(*models: str, **sections: Any) -> Settings:
    """Settings in which only ``models`` may be learned from, of three."""
    upstream = {"upstream": "http://127.0.0.1:9/v1", "model": "m"}
    known = {
        name: upstream | {"distillation": "allowed" if name in models else "denied"}
        for name in ("teacher", "other")
    }
    return Settings.model_validate({"models": known | {"untold": upstream}, **sections})
