"""Which recorded questions the teacher may be asked about, and which of them teach most."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.dataset.merging import fold
from distill.dataset.model import Tally
from distill.next.targets import choose_questions, doubt_of
from router.record.history import Unasked
from router.record.model import TrainingRow
from router.record.redact import Redactor, is_redacted
from router.record.store import Store
from router.record.subject import USER_FIELDS
from router.release import load_release
from router.settings.model import Settings
from router.students.embedded import EmbeddedStudent
from router.students.encoder import Encoder
from router.wire.openai import answer_from_json
from router.wire.requests import MAX_INPUT_CHARS

_MOST = 3_000
"""Questions that are chosen from, the newest: memory and time grow with their square."""

_NOISE = 0.1
"""λ of a student whose cycle noted none."""

_NOT_SENT = frozenset({path[0] for path in USER_FIELDS}) | {"stream", "stream_options"}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One that a student answered and nobody else.

    ``body``: what the teacher is asked, without what names its user; ``model``: the key of the
    teacher; ``draft``: what the student in force says, ``margin``: how sure it is of that.
    """

    asked: Unasked
    body: Mapping[str, Any]
    model: str
    draft: str = ""
    margin: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """``questions``: those that teach most, in their order, of ``pool`` that may be asked about;
    ``comparer``: of the release; ``problem``: why none can be chosen, a sentence."""

    questions: Sequence[Question] = ()
    pool: int = 0
    left_out: Mapping[str, int]
    comparer: str = ""
    problem: str | None = None


def choose(
    store: Store,
    settings: Settings,
    redactor: Redactor,
    encoder: Encoder,
    *,
    workload: str,
    count: int,
) -> Chosen:
    """At most ``count`` questions of a workload. Raises ReleaseError for a damaged release."""
    tally = Tally()
    digest = store.active_releases().get(workload)
    row = None if digest is None else store.release(digest)
    if row is None:
        problem = "no release is in force, so nothing was answered without the teacher"
        return Chosen(left_out={}, problem=problem)
    release = load_release(Path(row.path))
    if not isinstance(release.student, EmbeddedStudent):
        problem = (
            "the student in force is behind a server; only an embedded one tells what it lacks"
        )
        return Chosen(left_out={}, problem=problem)
    answered = list(store.training_rows(workload))
    pool = _gather(store.unasked(workload, _MOST), answered, settings, redactor, tally)
    if not pool:
        return Chosen(
            left_out=tally.dropped, problem="there is no question that may be asked about"
        )
    vectors = encoder.encode([one.asked.input_text for one in pool])
    margins = release.student.margins(vectors)
    since = [one.input_text for one in answered if one.created_at > row.created_at]
    known = np.vstack(
        [release.student.support, encoder.encode([redactor.text(text) for text in since])]
    )
    noise = float(row.report.get("noise", _NOISE))
    taken = choose_questions(known, vectors, doubt_of(margins), count, noise=noise)
    drafted = _say(release.student, vectors[taken])
    return Chosen(
        questions=[
            Question(
                asked=pool[i].asked,
                body=pool[i].body,
                model=pool[i].model,
                draft=said,
                margin=float(margins[i]),
            )
            for i, said in zip(taken, drafted, strict=True)
        ],
        pool=len(pool),
        left_out=tally.dropped,
        comparer=release.comparer,
    )


def _gather(
    unasked: Sequence[Unasked],
    answered: Sequence[TrainingRow],
    settings: Settings,
    redactor: Redactor,
    tally: Tally,
) -> list[Question]:
    """One row per question, the newest, of the tenant that is learned from; the reasons why others
    are left out are counted in ``tally``."""
    known = {fold(row.input_text) for row in answered}
    closed = {key.name for key in settings.keys if not key.train_on}
    budgeted = {key.name for key in settings.keys if key.budget is not None}
    tenant = answered[-1].tenant if answered else None
    found: dict[str, Question] = {}
    for one in unasked:
        model = _find_teacher(settings, one.request)
        text = fold(one.input_text)
        # What was taken out of a request is missing to the teacher, too: its answer would be
        # another one's.
        written = json.dumps([one.request, redactor.json(one.request)])
        if tenant is not None and one.tenant != tenant:
            tally.drop("other_tenant")
        elif one.key_name in closed:
            tally.drop("consent")
        elif model is None:
            tally.drop("licence")
        elif one.key_name in budgeted:
            tally.drop("key_has_budget")
        elif is_redacted(written):
            tally.drop("redacted")
        elif len(one.input_text) >= MAX_INPUT_CHARS:
            tally.drop("too_long")
        elif text in known:
            tally.drop("answered_since")
        elif text in found:
            tally.drop("duplicate")
        else:
            body = {name: value for name, value in one.request.items() if name not in _NOT_SENT}
            found[text] = Question(asked=one, body=body, model=model)
    return list(found.values())


def _find_teacher(settings: Settings, body: Mapping[str, Any]) -> str | None:
    """Who would have answered; None where nothing may be learned from it."""
    resolved = settings.resolve_model(str(body.get("model", "auto")))
    named = None if resolved is None else settings.models.get(resolved.key)
    if resolved is None or named is None or named.upstream is None:
        key = settings.teacher_key
    else:
        key = resolved.key
    if key is None or settings.models[key].distillation != "allowed":
        return None
    return key


def _say(student: EmbeddedStudent, vectors: NDArray[np.float32]) -> list[str]:
    return [
        answer_from_json(student.answers[int(top)]).content or ""
        for top in student.classify(vectors)
    ]
