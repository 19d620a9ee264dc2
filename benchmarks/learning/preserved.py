"""What students preserved of their teachers: the model card's table, from recorded answers.

- ``banking77``: the embedded student, taught by ``--known`` of the bank's messages, drafts others.
- ``--recorded FILE…``: streams that hold a student's drafts beside the teacher's answers, such as
  what ``benchmarks.generative.invoices --stream`` writes.

How unusual a question is, is told by its nearest question: of those that were learned from, for a
recorded student of the others in the stream. The streams aren't part of the project: their folder
is named by ``--data`` or by ``TUTELAGE_DATA``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.learning.targeted import read, teach
from distill.card.preserved import measure_preserved
from distill.commands.card import write_preserved
from distill.streams import RecordedAnswer, StreamRow, read_stream
from policies.compare import choose_comparer, get_comparer
from policies.types import Answer, Tier
from router.record.model import TrainingRow
from router.students.encoder import Encoder
from router.wire.openai import answer_to_json, input_text, shape_of

_BANK = "streams/banking77-deepseek-train.jsonl.gz"
_RECORDED = "streams/gsm8k-mixtral-gpt4.jsonl.gz"
_STUDENT = "recorded"

Json = dict[str, Any]


def measure(rows: Sequence[StreamRow], drafts: Sequence[Answer], near: Sequence[float]) -> Json:
    """Everything on the card that drafts tell; ``near``: similarity of each nearest question."""
    # As records name them: a few answers of another form don't change how most are compared.
    names = Counter(choose_comparer(shape_of(row.body), [row.teacher.answer]) for row in rows)
    comparer = get_comparer(names.most_common(1)[0][0])
    pairs = list(zip(rows, drafts, near, strict=True))
    stored = [_store(row, draft, comparer.name, at) for row, draft, at in pairs]
    verdicts = {
        row.id: found for row in rows if (found := _judge(row.student, row.teacher)) is not None
    }
    kept, parts = measure_preserved(stored, _STUDENT, None, verdicts)
    # By answer there are as many lines as answers: the card has them, this table doesn't.
    parts = [one for one in parts if not one.name.startswith("answer ")]
    return {"preserved": [asdict(one) for one in kept], "agreement": [asdict(one) for one in parts]}


def _store(row: StreamRow, draft: Answer, comparer: str, near: float) -> TrainingRow:
    """As the store would hold it."""
    agreed = get_comparer(comparer).agrees(row.teacher.answer, draft, shape_of(row.body))
    return TrainingRow(
        seq=0,
        id=row.id,
        created_at=0.0,
        workload=row.workload or "",
        tenant="",
        group="",
        comparer=comparer,
        input_text=input_text(row.body),
        request=row.body,
        teacher_answer=answer_to_json(row.teacher.answer),
        teacher_model=row.teacher.model,
        teacher_version=None,
        tier=Tier.TEACHER,
        draft=answer_to_json(draft),
        draft_agreed=agreed,
        confidence=None,
        evidence={"nearest": near},
        release=_STUDENT,
        propensity=1.0,
    )


def _judge(student: RecordedAnswer | None, teacher: RecordedAnswer) -> tuple[bool, bool] | None:
    if student is None or student.correct is None or teacher.correct is None:
        return None
    return student.correct, teacher.correct


def draft_bank(rows: Sequence[StreamRow], args: argparse.Namespace, encoder: Encoder) -> Json:
    """The embedded student's, on messages that it hasn't seen."""
    drawn = np.random.default_rng(args.seed).permutation(len(rows))[: args.known + args.kept]
    chosen = [rows[i] for i in drawn]
    messages = read(chosen, encoder)
    _, student = teach(messages, np.arange(args.known))
    drafted = [student.draft(vector) for vector in messages.vectors[args.known :]]
    near = [evidence.signals["nearest"] for _, evidence in drafted]
    return measure(chosen[args.known :], [answer for answer, _ in drafted], near)


def read_recorded(rows: Sequence[StreamRow], encoder: Encoder) -> Json:
    """Of a student whose drafts the stream holds. Raises ValueError where a row has none."""
    drafts = [row.student.answer for row in rows if row.student is not None]
    if len(drafts) < len(rows):
        raise ValueError("a row has no student's answer")
    vectors = encoder.encode([input_text(row.body) for row in rows])
    similarity = vectors @ vectors.T
    np.fill_diagonal(similarity, -1.0)
    return measure(rows, drafts, similarity.max(axis=1).tolist())


def main() -> int:
    """Print a table for each student."""
    args = _read_args()
    if args.data is None or not (args.data / _BANK).exists():
        print(f"skipped: no {_BANK}; name its folder by --data or TUTELAGE_DATA")
        return 0
    encoder = Encoder(threads=1)
    found = {"banking77, embedded": draft_bank(read_stream(args.data / _BANK), args, encoder)}
    for path in args.recorded or [args.data / _RECORDED]:
        found[path.name] = read_recorded(read_stream(path), encoder)
    for name, one in found.items():
        print(f"\n{name}\n")
        print(
            "\n".join([*write_preserved(one["preserved"]), *write_preserved(one["agreement"])[2:]])
        )
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 0


def _read_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0] if __doc__ else None)
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    parser.add_argument("--known", type=int, default=2_000, help="messages taught (2,000)")
    parser.add_argument("--kept", type=int, default=2_000, help="messages drafted (2,000)")
    parser.add_argument("--recorded", type=Path, nargs="+", help=f"streams ({_RECORDED})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
