"""What a comparer is, and what holds for every one of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from policies.compare.fold import fold_text
from policies.types import Answer, Shape

# How an answer ends that came to its own end, in OpenAI's words and in those of servers that keep
# their own. None: not recorded. Whatever else is said ("length", "content_filter", "error") means
# that something is missing, also where we have never heard the word.
COMPLETE_ENDINGS = frozenset(
    {
        None,
        "stop",
        "tool_calls",
        "function_call",
        "end_turn",
        "tool_use",
        "stop_sequence",
        "eos",
        "eos_token",
    }
)


class Comparer(Protocol):
    """Decides whether two answers to the same request agree. Strict: in doubt they do not.

    ``agrees`` holds exactly where both answers have a key and the keys are equal; so it is
    symmetric and transitive, and reflexive on the answers that have a key.
    """

    @property
    def name(self) -> str:
        """The comparer's name in the configuration."""
        ...

    def agrees(self, expected: Answer, given: Answer, shape: Shape) -> bool:
        """Whether ``given`` is as good as ``expected`` to a client of this request."""
        ...

    def key(self, answer: Answer, shape: Shape) -> str | None:
        """A canonical text, equal for two answers to one request exactly when they agree.

        None where the answer has no canonical form: such an answer agrees with nothing, itself
        included. Never raises on an answer, whatever a model wrote.
        """
        ...


class KeyComparer(ABC):
    """A comparer that compares keys, with the rules that all of them share.

    An answer has no key if it is unfinished, says nothing, or holds text that is not valid
    Unicode. A refusal agrees only with a refusal in the same words.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The comparer's name in the configuration."""

    @abstractmethod
    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        """The key of a finished answer that is no refusal and says something."""

    def agrees(self, expected: Answer, given: Answer, shape: Shape) -> bool:
        """Whether both answers have a key and the keys are equal."""
        key = self.key(expected, shape)
        return key is not None and key == self.key(given, shape)

    def key(self, answer: Answer, shape: Shape) -> str | None:
        """The answer's key, which begins with what kind of answer it is; None where it has none."""
        if not is_comparable(answer):
            return None
        if not is_refusal(answer):
            return self.answer_key(answer, shape)
        if (answer.content or "").strip() or answer.tool_calls:
            return None  # it refuses and answers at once
        return f"refusal:{fold_text(answer.refusal or '')}"


def is_comparable(answer: Answer) -> bool:
    """Whether an answer is finished, says something, and is made of valid Unicode."""
    if answer.finish_reason not in COMPLETE_ENDINGS:
        return False
    texts = [answer.content or "", answer.refusal or ""]
    for call in answer.tool_calls:
        texts += [call.name, call.arguments]
    return any(text.strip() for text in texts) and all(map(_is_unicode, texts))


def is_refusal(answer: Answer) -> bool:
    """Whether an answer says that it refuses; servers also send an empty refusal with an answer."""
    return bool((answer.refusal or "").strip())


def _is_unicode(text: str) -> bool:
    # A lone surrogate can neither be stored nor sent, and two of them could pass for a third.
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
