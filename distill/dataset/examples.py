"""Questions → what is stored: examples and the manifest over them; and both as JSON."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from distill.dataset.model import (
    FORMAT,
    Bundle,
    Example,
    Question,
    Reasoning,
    Source,
    Tally,
    TokenScores,
    canonical,
    digest_of,
)
from distill.dataset.reasoning import has_trace, rewrite
from router.generative.rung import BEFORE
from router.record.redact import Redactor

_DONE: Mapping[Reasoning, str] = {"keep": "kept", "shorten": "shortened", "drop": "dropped"}


def bundle_of(
    questions: Sequence[Question], head: Mapping[str, Any], redactor: Redactor, tally: Tally
) -> Bundle:
    """The stored form of questions. ``head``: what the manifest says of how they were chosen."""
    how: Reasoning = head["terms"]["reasoning"]
    examples = [_example_of(question, how, redactor, tally) for question in questions]
    said = {"dropped": tally.dropped, "gold": tally.gold, "reasoning": tally.reasoning}
    return seal({**head, **said}, examples)


def seal(head: Mapping[str, Any], examples: Sequence[Example]) -> Bundle:
    """Examples with their manifest: ``head`` and what can be counted on the examples."""
    times = [source.created_at for one in examples for source in one.sources]
    teachers = Counter(
        f"{one.teacher_model}/{one.teacher_version or 'unknown'}"
        for one in examples
        if one.teacher_model is not None
    )
    manifest = {
        **head,
        "format": FORMAT,
        "licence": "allowed",
        "examples": len(examples),
        "answers": len({one.key for one in examples}),
        "interactions": len(times),
        "span": {"from": min(times), "to": max(times)} if times else None,
        "teachers": dict(sorted(teachers.items())),
        "keys": dict(sorted(Counter(s.key_name for e in examples for s in e.sources).items())),
        "splits": dict(sorted(Counter(one.split for one in examples).items())),
        "mix": {
            "new": sum(not one.replayed for one in examples),
            "replayed": sum(one.replayed for one in examples),
        },
    }
    digest = digest_of(manifest, [canonical(write_example(one)) for one in examples])
    return Bundle(manifest={**manifest, "digest": digest}, examples=tuple(examples), digest=digest)


def with_scores(bundle: Bundle, scores: Mapping[str, TokenScores]) -> Bundle:
    """Another dataset: the same with a teacher's log-probabilities, by the examples' ids."""
    examples = [replace(one, scores=scores.get(one.id, one.scores)) for one in bundle.examples]
    return seal({**bundle.manifest, "parent": bundle.digest}, examples)


def _example_of(question: Question, how: Reasoning, redactor: Redactor, tally: Tally) -> Example:
    row, gold = question.row, question.gold
    answer = dict(row.teacher_answer) if row.teacher_model is not None else None
    if answer is not None and has_trace(answer):
        # What led to a wrong answer is not to be learned.
        wrong = question.refuted or gold is not None
        verdict = "dropped_wrong" if wrong else _DONE[how]
        tally.reasoning[verdict] = tally.reasoning.get(verdict, 0) + 1
        answer = rewrite(answer, "drop" if wrong else how)
    rejected = [answer] if answer is not None and gold is not None else []
    # What a further model said is another's: its terms may not allow to learn from it.
    if row.draft is not None and row.draft_agreed is False and BEFORE not in row.evidence:
        rejected.append(redactor.json(row.draft))
    return Example(
        id=row.id,
        text=question.text,
        request=redactor.json(json.loads(question.request)),
        answer=answer,
        gold=None if gold is None else gold.answer,
        gold_by=None if gold is None else gold.source,
        rejected=tuple(rejected),
        key=question.key if gold is None else gold.key,
        weight=question.weight * question.trust,
        split=question.split,
        group=question.group,
        replayed=question.replayed,
        teacher_model=row.teacher_model,
        teacher_version=row.teacher_version,
        sources=question.sources,
    )


def write_example(example: Example) -> dict[str, Any]:
    """As JSON values."""
    value = asdict(example)
    if example.scores is not None:
        packed = base64.b64encode(example.scores.packed).decode("ascii")
        value["scores"] = {"packed": packed, "captured_mass": example.scores.captured_mass}
    return value


def read_example(value: Mapping[str, Any]) -> Example:
    """What ``write_example`` wrote. Raises KeyError, TypeError or ValueError for anything else."""
    scores, gold_by = value["scores"], value["gold_by"]
    if scores is not None:
        packed = base64.b64decode(scores["packed"], validate=True)
        scores = TokenScores(packed=packed, captured_mass=scores["captured_mass"])
    return Example(
        **{
            **value,
            "scores": scores,
            "gold_by": None if gold_by is None else Source(**gold_by),
            "rejected": tuple(value["rejected"]),
            "sources": tuple(Source(**source) for source in value["sources"]),
        }
    )
