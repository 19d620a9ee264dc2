"""Corrections from feedback, bounded so that no key can move a release by itself.

A correction is one key's word against the teacher's, and it is taught to everybody. So:

1. Where other keys asked the same question, the teacher's answer to them stands unless two keys or
   more correct it the same way (``uncorroborated``).
2. A key may correct at most ``KEY_SHARE`` of a dataset's questions, and ``CLASS_SHARE`` of those
   with one answer of the teacher's; the newest of its corrections count (``over_share``).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from distill.dataset.merging import fold
from distill.dataset.model import Gold, Question, Tally
from distill.dataset.selection import source_of, write_request
from policies.compare import Comparer
from policies.types import Answer, Tier
from router.record.model import Corrected, TrainingRow
from router.record.redact import Redactor
from router.wire.openai import answer_to_json, shape_of

KEY_SHARE = 0.05
"""Of a dataset's questions, what one key may correct."""

CLASS_SHARE = 0.2
"""Of the questions to which the teacher gives one answer, what one key may correct."""


@dataclass(frozen=True, kw_only=True)
class _Correction:
    said: Corrected
    gold: Gold
    folded: str


def admit(
    questions: Sequence[Question],
    given: Iterable[Corrected],
    comparer: Comparer,
    redactor: Redactor,
    tally: Tally,
) -> list[Question]:
    """The questions with the corrections that were admitted, and those that only corrections
    answer, which come last."""
    by_text = {fold(question.text): question for question in questions}
    scores: dict[str, float] = {}
    newest: dict[tuple[str, str], _Correction] = {}
    for said in given:
        folded = fold(redactor.text(said.input_text))
        scores[said.id] = said.feedback.score or 0.0
        correction = _read(said, folded, comparer, redactor)
        if correction is None:
            if _words_of(said, comparer) is not None:
                _count(tally, "not_comparable")
            continue
        newest.pop((folded, said.key_name), None)
        newest[folded, said.key_name] = correction
    right = {folded: correction.gold.key for (folded, _), correction in newest.items()}
    differing = []
    for correction in newest.values():
        known = by_text.get(correction.folded)
        if known is not None and known.key == correction.gold.key:
            _count(tally, "confirmed")
        else:
            differing.append(correction)
    admitted = _bound(_corroborate(differing, by_text, tally), by_text, tally)
    _count(tally, "admitted", len(admitted))
    of_text = {correction.folded: correction for correction in admitted}
    corrected = [
        replace(
            question,
            gold=of_text.pop(folded).gold if folded in of_text else None,
            refuted=scores.get(question.row.id, 0.0) < 0,
            right_key=right.get(folded, _find_confirmed(question, scores)),
        )
        for folded, question in by_text.items()
    ]
    return corrected + [_question_of(correction, redactor) for correction in of_text.values()]


def teach_gold(question: Question) -> Question:
    """The question with its correction as what is taught."""
    if question.gold is None:
        return question
    row = replace(question.row, teacher_answer=question.gold.answer)
    return replace(question, key=question.gold.key, row=row, teacher_key=question.key)


def _find_confirmed(question: Question, scores: Mapping[str, float]) -> str | None:
    """The teacher's answer, where it was what the client got and called right."""
    confirmed = question.row.tier is Tier.TEACHER and scores.get(question.row.id, 0.0) > 0
    return question.key if confirmed else None


def _count(tally: Tally, reason: str, count: int = 1) -> None:
    if count:
        tally.gold[reason] = tally.gold.get(reason, 0) + count


def _read(
    said: Corrected, folded: str, comparer: Comparer, redactor: Redactor
) -> _Correction | None:
    """None where the feedback corrects nothing, or in words that can't be compared."""
    words = _words_of(said, comparer)
    if words is None or not folded.strip():
        return None
    answer = Answer(content=redactor.text(words), finish_reason="stop")
    key = comparer.key(answer, shape_of(said.request or {}))
    if key is None:
        return None
    source = source_of(said)
    gold = Gold(answer=answer_to_json(answer), key=key, key_name=said.key_name, source=source)
    return _Correction(said=said, gold=gold, folded=folded)


def _words_of(said: Corrected, comparer: Comparer) -> str | None:
    """The correction, else the label where labels are what is answered."""
    given = said.feedback
    if given.correction is not None or given.label is None or comparer.name != "label":
        return given.correction
    return str(given.label)


def _corroborate(
    differing: Iterable[_Correction], by_text: Mapping[str, Question], tally: Tally
) -> list[_Correction]:
    """One correction per question: the one that most keys gave, if it may stand."""
    by_question: dict[str, list[_Correction]] = defaultdict(list)
    for correction in differing:
        by_question[correction.folded].append(correction)
    standing = []
    for folded, corrections in by_question.items():
        votes = Counter(correction.gold.key for correction in corrections)
        key, count = votes.most_common(1)[0]
        chosen = next(c for c in reversed(corrections) if c.gold.key == key)
        known = by_text.get(folded)
        asked_by = {source.key_name for source in known.sources} if known is not None else set()
        others = asked_by - {c.gold.key_name for c in corrections if c.gold.key == key}
        contested = len(votes) > 1 and votes.most_common(2)[1][1] == count
        if (others and count < 2) or contested:
            _count(tally, "uncorroborated", len(corrections))
            continue
        standing.append(chosen)
        _count(tally, "outvoted", len(corrections) - count)
    return standing


def _bound(
    standing: Sequence[_Correction], by_text: Mapping[str, Question], tally: Tally
) -> list[_Correction]:
    """The newest corrections of each key that its shares allow."""
    sizes = Counter(question.key for question in by_text.values())
    of_key: Counter[str] = Counter()
    of_class: Counter[tuple[str, str]] = Counter()
    kept = []
    for correction in sorted(standing, key=lambda c: c.said.seq, reverse=True):
        key_name = correction.gold.key_name
        known = by_text.get(correction.folded)
        within = of_key[key_name] < int(KEY_SHARE * len(by_text))
        if known is not None:
            own = (key_name, known.key)
            within = within and of_class[own] < int(CLASS_SHARE * sizes[known.key])
        if not within:
            _count(tally, "over_share")
            continue
        of_key[key_name] += 1
        if known is not None:
            of_class[own] += 1
        kept.append(correction)
    return kept[::-1]


def _question_of(correction: _Correction, redactor: Redactor) -> Question:
    """A question that the teacher wasn't asked."""
    said, gold = correction.said, correction.gold
    values: dict[str, Any] = {
        name: getattr(said, name)
        for name in ("seq", "id", "created_at", "tenant", "key_name", "group", "comparer")
    }
    text = redactor.text(said.input_text)
    row = TrainingRow(
        **values,
        workload="",
        input_text=text,
        request=None,
        teacher_answer=gold.answer,
        teacher_model=None,
        teacher_version=None,
        tier=Tier.STUDENT,
        draft=None,
        draft_agreed=None,
        confidence=None,
        evidence={},
        release=None,
        propensity=1.0,
    )
    return Question(
        text=text,
        key=gold.key,
        weight=1.0,
        row=row,
        first_release=None,
        request=write_request(said.request or {}),
        sources=(gold.source,),
        gold=gold,
    )
