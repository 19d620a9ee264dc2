"""A stored dataset's examples as a generative student is trained on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from distill.dataset.export import rows_for
from distill.dataset.model import Example as Stored
from distill.train.examples import Draft, Example
from router.wire.openai import answer_from_json


def teach(stored: Iterable[Stored], *, ranked: bool = False) -> tuple[list[Example], Counter[str]]:
    """Those that can be learned from as text, and how many can't be, by reason.

    Datasets hold nothing but answers of teachers whose ``distillation`` is ``allowed``. ``ranked``:
    with what is known to be worse than the target as a draft below it, and only where there is.
    """
    examples: list[Example] = []
    left_out: Counter[str] = Counter()
    for one in stored:
        row = next(rows_for([one], "messages", "trl"), None)
        worse = [text for text in map(_text_of, one.rejected) if text] if ranked else []
        reason = _find_obstacle(one, worse if ranked else None)
        if reason is not None or row is None:
            left_out[reason or "other content than text"] += 1
            continue
        *prompt, target = row["messages"]
        best = Draft(text=target["content"], grade=1.0)
        examples.append(
            Example(
                id=one.id,
                messages=tuple(prompt),
                answer=target["content"],
                licence="allowed",
                weight=one.weight,
                drafts=(best, *(Draft(text=text, grade=0.0) for text in worse)) if worse else (),
                replayed=one.replayed,
            )
        )
    return examples, left_out


def _find_obstacle(one: Stored, worse: list[str] | None) -> str | None:
    if one.request.get("tools"):
        return "tools"
    if not _text_of(one.target):
        return "no text as an answer"
    return "nothing worse than the answer" if worse == [] else None


def _text_of(answer: Mapping[str, Any]) -> str | None:
    given = answer_from_json(answer)
    return None if given.tool_calls else given.content
