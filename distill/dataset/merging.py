"""One question per text: rows that ask the same, and teachers that contradict themselves.

Of one question the newest teacher's answers count (its model and version: an older one may have
known less); among them the answer given most often, and of equally many the newest. The weights of
all rows add up, since that often the question was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from distill.dataset.model import Question, Tally
from distill.dataset.near import group, near_pairs
from distill.dataset.reasoning import final_of
from distill.dataset.selection import Selected
from policies.compare import Comparer
from policies.compare.fold import fold_label
from router.wire.openai import answer_from_json


def fold(text: str) -> str:
    """What makes two questions the same: to the encoder, texts that differ in case or space alone
    are one, and twins on both sides of a held-out prediction would make it look better than it
    is."""
    return fold_label(text) or text


def merge(selected: Iterable[Selected], comparer: Comparer, tally: Tally) -> list[Question]:
    """One question per folded text, in the order in which they were last asked."""
    asked: dict[str, list[tuple[Selected, str]]] = {}
    for one in selected:
        answer = final_of(answer_from_json(one.row.teacher_answer))
        key = comparer.key(answer, one.shape)
        if key is None or not one.row.input_text.strip():
            tally.drop("not_comparable" if key is None else "no_text")
            continue
        folded = fold(one.row.input_text)
        earlier = asked.pop(folded, [])
        earlier.append((one, key))
        asked[folded] = earlier
    return [_settle(rows, tally) for rows in asked.values()]


def _settle(rows: Sequence[tuple[Selected, str]], tally: Tally) -> Question:
    newest = _teacher_of(rows[-1][0])
    current = [(one, key) for one, key in rows if _teacher_of(one) == newest]
    votes = Counter(key for _, key in current)
    most = max(votes.values())
    said = next(key for _, key in reversed(current) if votes[key] == most)
    chosen = next(one for one, key in reversed(current) if key == said)
    contradicting = sum(key != said for _, key in rows)
    tally.drop("contradiction", contradicting)
    tally.drop("duplicate", len(rows) - 1 - contradicting)
    return Question(
        text=chosen.row.input_text,
        key=said,
        weight=sum(1.0 / one.row.propensity for one, _ in rows),
        row=chosen.row,
        first_release=rows[0][0].row.release,
        request=chosen.request,
        sources=tuple(one.source for one, _ in rows),
    )


def _teacher_of(one: Selected) -> tuple[str | None, str | None]:
    return one.row.teacher_model, one.row.teacher_version


def merge_near(questions: list[Question], least: float, tally: Tally) -> list[Question]:
    """One question, the newest, of those that are nearly the same and have one answer.

    Those with another answer stay: a word may make the difference.
    """
    alike = group(len(questions), near_pairs([question.text for question in questions], least))
    merged: dict[tuple[int, str], Question] = {}
    for own, question in zip(alike, questions, strict=True):
        earlier = merged.pop((own, question.key), None)
        if earlier is not None:
            tally.drop("near_duplicate")
            question = replace(
                question,
                weight=question.weight + earlier.weight,
                first_release=earlier.first_release,
                sources=(*earlier.sources, *question.sources),
            )
        merged[own, question.key] = question
    return list(merged.values())
