"""The forgetting suite: what earlier releases got right must not get lost.

The suite is every question that some release answered as the teacher did when it was asked, as long
as its record may be kept: it is read from the records, so that erasure and retention reach it. Both
releases draft it anew as they would serve, the candidate knowing all that it was trained on: the
question isn't how good it is, which the paired evaluation says, but whether it still knows. In
parts, since a mean hides a part that is gone: the configured slices, the commonest answers, and the
longest twentieth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.dataset import Dataset
from distill.promote import Rung, compare
from policies.compare import get_comparer
from policies.types import Shape
from router.auth import Caller
from router.deciding.slices import find_slices
from router.generative.student import GenerativeStudent
from router.release import Student
from router.settings.model import Settings
from router.students.embedded import EmbeddedStudent, Vectors
from router.wire.openai import answer_from_json, shape_of
from router.workload import find_settings

_FEWEST = 20
_MOST_ANSWERS = 50
_TAIL = 0.95
_WHOLE = "all of it"

Rows = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True)
class Suite:
    """``rows``: of the dataset's questions; ``parts``: by name, which of ``rows``; the first is all
    of them."""

    rows: Rows
    parts: Mapping[str, NDArray[np.bool_]]


def build_suite(dataset: Dataset, settings: Settings) -> Suite:
    """What some release got right, by parts of at least 20 questions; nothing that a change of
    what the teacher says has probably undone."""
    rows = np.asarray(
        [
            i
            for i, one in enumerate(dataset.questions)
            if one.row.draft_agreed and one.row.release is not None and one.stands
        ],
        dtype=np.intp,
    )
    parts = {_WHOLE: np.ones(len(rows), dtype=np.bool_)}
    if len(rows) == 0:
        return Suite(rows=rows, parts=parts)
    parts |= _by_slice(dataset, rows, settings)
    classes = dataset.classes[rows]
    counts = np.bincount(classes, minlength=len(dataset.answers))
    for one in np.argsort(-counts, kind="stable")[:_MOST_ANSWERS]:
        parts[f"answer {_name(dataset.answers[one])}"] = classes == one
    lengths = np.asarray([len(dataset.questions[i].text) for i in rows])
    parts["the longest twentieth"] = lengths >= np.quantile(lengths, _TAIL)
    kept = {name: part for name, part in parts.items() if part.sum() >= _FEWEST}
    return Suite(rows=rows, parts={_WHOLE: parts[_WHOLE]} | kept)


def check_forgetting(
    dataset: Dataset,
    settings: Settings,
    candidate: Student | None,
    in_force: Student | None,
    vectors: Vectors | None,
    known_vectors: Vectors | None,
) -> Rung:
    """The candidate still gets right what is in the suite, as often as the release in force does
    now, in every part.

    ``candidate``, ``in_force``: students; ``vectors``: of the questions as the candidate sees them,
    ``known_vectors`` as the release in force does, None where they weren't encoded. Skipped for
    students that don't run here; whoever has drafts of theirs uses ``judge``.
    """
    if in_force is None:
        return _skip("There is no release in force, so nothing can be forgotten.")
    if isinstance(candidate, GenerativeStudent) and candidate == in_force:
        return _skip("The student is the one in force: only its gate is new.")
    if not isinstance(candidate, EmbeddedStudent) or not isinstance(in_force, EmbeddedStudent):
        return _skip("The students don't run here, so they can't draft the suite.")
    if vectors is None or known_vectors is None:
        return _skip("The questions weren't encoded.")
    suite = build_suite(dataset, settings)
    if len(suite.rows) == 0:
        return _skip("No release has answered a question yet as the teacher did.")
    before = _find_right(dataset, suite.rows, in_force, known_vectors)
    after = _find_right(dataset, suite.rows, candidate, vectors)
    return judge(suite, before, after)


def judge(suite: Suite, before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Rung:
    """``before``, ``after``: whether the release in force and the candidate get each row of the
    suite right now. Fails where any part is worse beyond chance, all parts taken together."""
    z = NormalDist().inv_cdf(1.0 - 0.025 / len(suite.parts))
    weights = np.ones(len(suite.rows))
    rungs = [
        compare(name, before[part], after[part], weights[part], z)
        for name, part in suite.parts.items()
    ]
    whole = rungs[0]
    lost = [rung for rung in rungs if rung.verdict == "failed"]
    verdict, sentence = whole.verdict, f"Of what releases got right, {_lower(whole.sentence)}"
    if lost:
        verdict = "failed"
        told = "; ".join(f"{rung.name}: {_lower(rung.sentence)}" for rung in lost[:3])
        sentence = f"It forgot what earlier releases got right, in {told}"
    return Rung(
        name="forgetting",
        verdict=verdict,
        sentence=sentence,
        questions=whole.questions,
        difference=whole.difference,
        low=whole.low,
        high=whole.high,
        parts=tuple(rungs),
    )


def _skip(sentence: str) -> Rung:
    return Rung(name="forgetting", verdict="skipped", sentence=sentence, questions=0)


def _lower(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _name(answer: Mapping[str, Any]) -> str:
    said = answer_from_json(answer)
    text = said.content or ", ".join(call.name for call in said.tool_calls) or "without words"
    return text if len(text) <= 40 else f"{text[:39]}…"


def _by_slice(dataset: Dataset, rows: Rows, settings: Settings) -> dict[str, NDArray[np.bool_]]:
    configured = find_settings(settings, dataset.workload)
    if configured is None or not configured.slices:
        return {}
    inside: dict[str, list[bool]] = {one.name: [] for one in configured.slices}
    for i in rows:
        question = dataset.questions[i]
        caller = Caller(tenant=question.row.tenant, key_name=question.row.key_name, train_on=True)
        found = {one.name for one in find_slices(configured, json.loads(question.request), caller)}
        for name, flags in inside.items():
            flags.append(name in found)
    return {f"slice {name}": np.asarray(flags) for name, flags in inside.items()}


def _find_right(
    dataset: Dataset, rows: Rows, student: EmbeddedStudent, vectors: Vectors
) -> NDArray[np.bool_]:
    """Whether the student says now what the teacher said, row by row."""
    drafted = student.classify(vectors[rows])
    comparer = get_comparer(dataset.comparer)
    by_shape = dataset.comparer in ("tool_calls", "json")
    known: dict[tuple[int, int], bool] = {}
    right = []
    for i, draft in zip(rows, drafted, strict=True):
        pair = int(dataset.classes[i]), int(draft)
        if by_shape or pair not in known:
            shape = shape_of(json.loads(dataset.questions[i].request)) if by_shape else Shape()
            teacher, said = dataset.answers[pair[0]], student.answers[pair[1]]
            known[pair] = comparer.agrees(answer_from_json(teacher), answer_from_json(said), shape)
        right.append(known[pair])
    return np.asarray(right, dtype=np.bool_)
