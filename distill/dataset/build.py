"""Records → a dataset, from top to bottom. Everything that is left out is counted by its reason.

The same rows under the same terms and settings make the same dataset, digest and all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np

from distill.dataset.examples import bundle_of
from distill.dataset.gold import admit, teach_gold
from distill.dataset.merging import merge, merge_near
from distill.dataset.model import LEARNING_TERMS, BuildTerms, Dataset, Question, Tally
from distill.dataset.sampling import mix, sample
from distill.dataset.selection import Selected, select, select_corrected
from distill.dataset.splitting import split
from distill.drift import OLD_TRUST
from policies.compare import get_comparer
from router.record.model import Corrected, TrainingRow
from router.record.redact import Redactor
from router.settings.model import Settings
from router.workload import find_settings

_ENOUGH_OF_ONE = 20
"""Rows with the same instructions, or the same form of answer, that are enough to learn it."""


def build_dataset(
    workload: str,
    rows: Iterable[TrainingRow],
    settings: Settings,
    redactor: Redactor,
    *,
    corrected: Iterable[Corrected] = (),
    terms: BuildTerms = LEARNING_TERMS,
) -> Dataset:
    """The dataset of a workload, from its trainable rows and its feedback, oldest first."""
    tally = Tally()
    # 1. Licence, consent, one tenant, redaction.
    selected = select(rows, settings, redactor, tally)
    tenant = selected[-1].row.tenant if selected else ""
    name = _choose_comparer(workload, selected, settings)
    comparer = get_comparer(name)
    # 2. One question per text.
    questions = merge(selected, comparer, tally)
    coverage = _estimate_coverage(questions)
    if terms.near is not None:
        questions = merge_near(questions, terms.near, tally)
    # 3. Corrections, within their bounds.
    said = select_corrected(corrected, settings, tenant)
    questions = admit(questions, said, comparer, redactor, tally)
    if terms.target == "teacher":
        questions = _without_gold(questions, tally)
    if terms.changed_seq is not None:
        questions = _trust_less(questions, terms.changed_seq)
    # 4. Old beside new, not too many, and what is held out.
    questions = sample(mix(questions, terms, tally), terms, tally)
    questions = split(questions, terms.held_out)
    # 5. What is stored.
    rows_read = len(selected) + sum(tally.dropped.get(reason, 0) for reason in _NOT_SELECTED)
    head = {
        "workload": workload,
        "tenant": tenant,
        "comparer": name,
        "terms": asdict(terms),
        "rows": rows_read,
    }
    make_bundle = partial(bundle_of, questions, head, redactor, tally)
    # 6. The same as an embedded student learns it.
    questions = [teach_gold(question) for question in questions]
    keys = sorted({question.key for question in questions})
    index = {key: i for i, key in enumerate(keys)}
    forms = find_common(one.profile.form for one in selected)
    return Dataset(
        workload=workload,
        comparer=name,
        questions=questions,
        classes=np.asarray([index[question.key] for question in questions], dtype=np.int32),
        answers=_choose_forms(questions, keys),
        rows=rows_read,
        dropped=tally.dropped,
        coverage=coverage,
        forms=forms or frozenset(),
        prompts=find_common(one.profile.prompt for one in selected),
        make_bundle=make_bundle,
    )


def _trust_less(questions: Sequence[Question], changed_seq: int) -> list[Question]:
    """As long as nothing is compared. A question that was asked again since the change has its new
    answer, and full trust."""
    return [
        replace(one, trust=OLD_TRUST) if one.row.seq <= changed_seq else one for one in questions
    ]


_NOT_SELECTED = frozenset({"licence", "consent", "other_tenant"})


def _estimate_coverage(questions: Sequence[Question]) -> float:
    """Seen before is asked of the questions' answers, not of questions asked twice."""
    counts = Counter(question.key for question in questions)
    singletons = sum(count == 1 for count in counts.values())
    return 1.0 - singletons / len(questions) if questions else 0.0


def find_common(names: Iterable[str]) -> frozenset[str] | None:
    """Those with at least ``_ENOUGH_OF_ONE`` rows; None where most rows share theirs with few."""
    counts = Counter(names)
    common = {name: count for name, count in counts.items() if count >= _ENOUGH_OF_ONE}
    if sum(common.values()) < counts.total() / 2:
        return None
    return frozenset(common)


def _choose_comparer(workload: str, selected: Sequence[Selected], settings: Settings) -> str:
    """The configured one, else the one that fitted most answers when they were given."""
    configured = find_settings(settings, workload)
    if configured is not None and configured.compare is not None:
        return configured.compare
    chosen = Counter(one.row.comparer for one in selected).most_common(1)
    return chosen[0][0] if chosen else "text"


def _without_gold(questions: Sequence[Question], tally: Tally) -> list[Question]:
    """Only what the teacher answered, as it did; a corrected answer counts as refuted."""
    kept = [
        replace(question, gold=None, refuted=question.refuted or question.gold is not None)
        for question in questions
        if question.row.teacher_model is not None
    ]
    tally.drop("correction_alone", len(questions) - len(kept))
    return kept


def _choose_forms(questions: Sequence[Question], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """Per key, the teacher's commonest wording of that answer."""
    forms: dict[str, Counter[str]] = {key: Counter() for key in keys}
    for question in questions:
        forms[question.key][json.dumps(question.row.teacher_answer, sort_keys=True)] += 1
    return [json.loads(forms[key].most_common(1)[0][0]) for key in keys]
