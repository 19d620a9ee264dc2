"""Records → what may be learned from: licence, consent, redaction, one row per question.

Consent (``train_on``, ``store``) is settled when a record is written: a row without it never gets
here. Everything that is left out is counted by its reason.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.drift import OLD_TRUST
from policies.compare import Comparer, get_comparer
from policies.compare.fold import fold_label
from policies.types import Shape
from router.record.model import TrainingRow
from router.record.redact import Redactor
from router.settings.model import Settings
from router.wire.openai import answer_from_json, shape_of
from router.wire.profile import Profile, profile_of
from router.workload import find_settings

MIN_ANSWERS = 100
"""Below this nothing is learned: a gate needs held-out drafts that agree and such that don't."""

MAX_QUESTIONS = 5_000
"""Of more, a random sample is taken: training takes time by the cube of this."""

_ENOUGH_OF_ONE = 20
"""Rows with the same instructions, or the same form of answer, that are enough to learn it."""

MIN_COVERAGE = 0.5
"""Least share of the next answers that must be expected to have been seen before."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question with the teacher's newest answer to it.

    ``key``: the answer as the comparer sees it; ``weight``: how many interactions it stands for,
    the sum of 1/propensity over those that asked it; ``row``: the newest of them, without its
    request; ``first_release``: the one in force when it was first asked; ``trust``: below 1 where
    the answer is from before a change of what the teacher says.
    """

    text: str
    key: str
    weight: float
    row: TrainingRow
    first_release: str | None
    trust: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What one workload has to teach; immutable, named by ``digest``.

    ``answers``: one per class, in the form that the teacher gave most often; ``classes``: the
    class of each question; ``dropped``: rows left out, by reason; ``coverage``: Good and Turing's
    estimate (1953) of the share of future answers that were seen before; ``forms``, ``prompts``:
    profiles of the requests that were asked often enough to learn from, prompts None where
    hardly two requests share one.
    """

    workload: str
    comparer: str
    questions: Sequence[Question]
    classes: NDArray[np.int32]
    answers: Sequence[Mapping[str, Any]]
    rows: int
    dropped: Mapping[str, int]
    coverage: float
    forms: frozenset[str]
    prompts: frozenset[str] | None

    @property
    def weights(self) -> NDArray[np.float64]:
        """How much each question counts, shape (questions,): old answers less."""
        return np.asarray([question.weight * question.trust for question in self.questions])

    @property
    def trust(self) -> NDArray[np.float64]:
        """In each question's answer, shape (questions,)."""
        return np.asarray([question.trust for question in self.questions])

    @property
    def digest(self) -> str:
        """SHA-256 over questions, answers and weights."""
        content = [[q.text, q.key, q.weight * q.trust] for q in self.questions]
        text = json.dumps([self.workload, self.comparer, content], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        """What went in and why not, JSON-ready."""
        return {
            "digest": self.digest,
            "comparer": self.comparer,
            "rows": self.rows,
            "questions": len(self.questions),
            "answers": len(self.answers),
            "coverage": round(self.coverage, 4),
            "dropped": dict(self.dropped),
            "before_change": int((self.trust < 1.0).sum()),
        }


def build_dataset(
    workload: str,
    rows: Iterable[TrainingRow],
    settings: Settings,
    redactor: Redactor,
    *,
    seed: int,
    most_questions: int = MAX_QUESTIONS,
    changed_seq: int | None = None,
) -> Dataset:
    """The dataset of a workload, from its trainable rows, oldest first.

    ``changed_seq``: what the teacher said up to then is trusted less (``distill.drift``).
    """
    dropped: Counter[str] = Counter()
    profiles: Counter[Profile] = Counter()
    licensed = _read(rows, settings, redactor, dropped, profiles)
    name = _choose_comparer(workload, [row for row, _ in licensed], settings)
    merged = _merge(licensed, get_comparer(name), dropped)
    if changed_seq is not None:
        merged = [
            replace(one, trust=OLD_TRUST) if one.row.seq <= changed_seq else one for one in merged
        ]
    # Seen before is asked of the questions' answers, not of questions asked twice.
    counts = Counter(question.key for question in merged)
    singletons = sum(count == 1 for count in counts.values())
    coverage = 1.0 - singletons / len(merged) if merged else 0.0
    kept = _sample(merged, most_questions, seed)
    dropped["sampled_out"] = len(merged) - len(kept)
    keys = sorted({question.key for question in kept})
    index = {key: i for i, key in enumerate(keys)}
    return Dataset(
        workload=workload,
        comparer=name,
        questions=kept,
        classes=np.asarray([index[question.key] for question in kept], dtype=np.int32),
        answers=_choose_forms(kept, keys),
        rows=len(licensed) + dropped["licence"],
        dropped={reason: count for reason, count in dropped.items() if count},
        coverage=coverage,
        forms=_find_common(profile.form for profile in profiles.elements()) or frozenset(),
        prompts=_find_common(profile.prompt for profile in profiles.elements()),
    )


def _read(
    rows: Iterable[TrainingRow],
    settings: Settings,
    redactor: Redactor,
    dropped: Counter[str],
    profiles: Counter[Profile],
) -> list[tuple[TrainingRow, Shape]]:
    """Licensed rows with the shape of their requests; the requests, which are the bulk, are let go.

    What was stored before a rule of redaction was configured is redacted here: the answers too,
    since a student says them to others.
    """
    found: list[tuple[TrainingRow, Shape]] = []
    for row in rows:
        if not _may_teach(settings, row):
            dropped["licence"] += 1
            continue
        profiles[profile_of(row.request or {})] += 1
        shape = shape_of(row.request or {})
        if found and found[-1][1] == shape:
            shape = found[-1][1]  # kept once
        text, answer = redactor.text(row.input_text), redactor.json(row.teacher_answer)
        lean = replace(row, request=None, input_text=text, teacher_answer=answer)
        found.append((lean, shape))
    return found


def _find_common(names: Iterable[str]) -> frozenset[str] | None:
    """Those with at least ``_ENOUGH_OF_ONE`` rows; None where most rows share theirs with few."""
    counts = Counter(names)
    common = {name: count for name, count in counts.items() if count >= _ENOUGH_OF_ONE}
    if sum(common.values()) < counts.total() / 2:
        return None
    return frozenset(common)


def _may_teach(settings: Settings, row: TrainingRow) -> bool:
    model = settings.models.get(row.teacher_model or "")
    return model is not None and model.distillation == "allowed"


def _choose_comparer(workload: str, rows: Sequence[TrainingRow], settings: Settings) -> str:
    """The configured one, else the one that fitted most answers when they were given."""
    configured = find_settings(settings, workload)
    if configured is not None and configured.compare is not None:
        return configured.compare
    chosen = Counter(row.comparer for row in rows).most_common(1)
    return chosen[0][0] if chosen else "text"


def _merge(
    rows: Iterable[tuple[TrainingRow, Shape]], comparer: Comparer, dropped: Counter[str]
) -> list[Question]:
    """One question per folded text: the newest answer counts, the weights add up.

    Twins on both sides of a held-out prediction would make it look better than it is. To the
    encoder, texts that differ in case or space alone are one.
    """
    merged: dict[str, Question] = {}
    for row, shape in rows:
        key = comparer.key(answer_from_json(row.teacher_answer), shape)
        if key is None or not row.input_text.strip():
            dropped["not_comparable" if key is None else "no_text"] += 1
            continue
        weight, first_release = 1.0 / row.propensity, row.release
        earlier = merged.pop(folded := fold_label(row.input_text) or row.input_text, None)
        if earlier is not None:
            dropped["duplicate"] += 1
            weight += earlier.weight
            first_release = earlier.first_release
        merged[folded] = Question(
            text=row.input_text, key=key, weight=weight, row=row, first_release=first_release
        )
    return list(merged.values())


def _sample(questions: list[Question], most: int, seed: int) -> list[Question]:
    if len(questions) <= most:
        return questions
    chosen = np.random.default_rng(seed).choice(len(questions), most, replace=False)
    scale = len(questions) / most
    return [replace(questions[i], weight=questions[i].weight * scale) for i in np.sort(chosen)]


def _choose_forms(questions: Sequence[Question], keys: Sequence[str]) -> list[dict[str, Any]]:
    """Per key, the teacher's commonest wording of that answer."""
    forms: dict[str, Counter[str]] = {key: Counter() for key in keys}
    for question in questions:
        forms[question.key][json.dumps(question.row.teacher_answer, sort_keys=True)] += 1
    return [json.loads(forms[key].most_common(1)[0][0]) for key in keys]
