"""Comparing answers that are one label: an intent, a route, yes or no, a letter of a choice."""

from __future__ import annotations

from policies.compare.base import KeyComparer
from policies.compare.fold import fold_label
from policies.types import Answer, Shape


class LabelComparer(KeyComparer):
    """Equal labels; case, width, white space, and the punctuation around them do not count.

    ``card_arrival``, ``card-arrival`` and ``"Card arrival."`` agree. Nothing that could tell two
    labels apart is folded: C, C++ and C#, -1 and 1, 1.0 and 1, "yes" and "yes, but" all differ.
    An answer with tool calls is no label and has no key.
    """

    name = "label"

    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        label = fold_label(answer.content or "")
        return f"label:{label}" if label and not answer.tool_calls else None
