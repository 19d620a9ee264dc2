"""Comparing answers word for word."""

from __future__ import annotations

from policies.compare.base import KeyComparer
from policies.compare.fold import fold_text
from policies.types import Answer, Shape


class TextComparer(KeyComparer):
    """The same characters; Unicode composition, line endings and space at the end do not count.

    An answer with tool calls is not only text and has no key.
    """

    name = "text"

    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        text = fold_text(answer.content or "")
        return f"text:{text}" if text and not answer.tool_calls else None
