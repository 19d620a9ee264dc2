"""Recall: the teacher's own earlier answer to the same question, kept for a while.

What was answered once may be answered otherwise today: the teacher may waver, change its mind, or
know more. So every time the teacher answers a question that is remembered, the two answers are
compared. The share of questions whose second answer agreed with the first is the confidence in an
answer that was given once; what a question itself has shown since moves its own confidence, by a
beta-binomial model: a question on which the teacher wavered is likely to see it waver again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from policies.types import Answer, Evidence

RECALLED = "recall_confirmed"
"""A signal that every recalled answer has and no student's draft."""

LONGEST_ANSWER = 16_000
"""Characters of an answer that may be remembered."""

_STRENGTH = 2.0
"""How many comparisons of its own weigh as much as what is known of all questions. Small, since
most questions are answered always alike and a few are not."""

_MEMORY = 1.0 / 300.0
"""Weight of the newest question among those that tell how steady the teacher is."""

Agrees = Callable[[Answer, Answer], bool]


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """An answer: ``at_s``, when it was given, in seconds since the epoch; ``confirmed`` and
    ``contradicted``: how often a later answer to its question agreed with the one before it."""

    answer: Answer
    at_s: float
    confirmed: int = 0
    contradicted: int = 0


class Memory:
    """Answers of one workload by their question (``router.students.question``), least recently
    used ones dropped. Not thread-safe.

    ``most``: answers that are kept; ``max_age_s``: older ones aren't recalled.
    """

    def __init__(self, *, most: int, max_age_s: float) -> None:
        self._most = most
        self._max_age_s = max_age_s
        self._answers: OrderedDict[str, Remembered] = OrderedDict()
        self._versions: dict[str, str] = {}
        self._alike = 0.5
        self._asked_again = 1.0

    def __len__(self) -> int:
        return len(self._answers)

    @property
    def steadiness(self) -> float:
        """The chance that the teacher's second answer to a question agrees with its first one.

        Jeffreys' estimate over the latest few hundred questions: one half before any was repeated.
        """
        return self._alike / self._asked_again

    def has(self, question: str, at_s: float) -> bool:
        """Whether there is an answer young enough."""
        known = self._answers.get(question)
        return known is not None and at_s - known.at_s <= self._max_age_s

    def recall(self, question: str, at_s: float) -> tuple[Answer, Evidence] | None:
        """The answer and its evidence with a confidence; None where there is none young enough."""
        if not self.has(question, at_s):
            return None
        self._answers.move_to_end(question)
        known = self._answers[question]
        signals = {
            RECALLED: float(known.confirmed),
            "recall_contradicted": float(known.contradicted),
            "recall_age_s": max(0.0, at_s - known.at_s),
        }
        confidence = self._confidence(known)
        return known.answer, Evidence(available=True, confidence=confidence, signals=signals)

    def learn(
        self,
        question: str,
        answer: Answer,
        *,
        teacher: str,
        version: str | None,
        at_s: float,
        agrees: Agrees,
    ) -> None:
        """The teacher answered: compare with what is remembered, and remember the newer answer.

        ``version``: what this ``teacher``'s upstream calls it; where that is another one than
        before, everything is forgotten first. ``agrees`` is called with the older answer and this
        one.
        """
        if version is not None and self._versions.get(teacher, version) != version:
            self.forget()
        if version is not None:
            self._versions[teacher] = version
        known = self._answers.pop(question, None)
        if not is_memorable(answer):
            return
        confirmed = contradicted = 0
        if known is not None:
            alike = agrees(known.answer, answer)
            confirmed, contradicted = known.confirmed + alike, known.contradicted + (not alike)
            if confirmed + contradicted == 1:
                self._count(alike)
        self._answers[question] = Remembered(
            answer=_without_ids(answer),
            at_s=at_s,
            confirmed=confirmed,
            contradicted=contradicted,
        )
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def forget(self) -> None:
        """Drop all answers, and what they showed of the teacher's steadiness."""
        self._answers.clear()
        self._alike, self._asked_again = 0.5, 1.0

    def _confidence(self, known: Remembered) -> float:
        alike = _STRENGTH * self.steadiness + known.confirmed
        return alike / (_STRENGTH + known.confirmed + known.contradicted)

    def _count(self, alike: bool) -> None:
        """One more question was answered a second time; old ones fade."""
        self._alike = self._alike * (1.0 - _MEMORY) + alike
        self._asked_again = self._asked_again * (1.0 - _MEMORY) + 1.0


def is_memorable(answer: Answer) -> bool:
    """A whole answer that says something: not refused, cut short, empty or very long."""
    length = len(answer.content or "") + sum(len(call.arguments) for call in answer.tool_calls)
    whole = answer.refusal is None and answer.finish_reason not in ("length", "content_filter")
    return whole and 0 < length <= LONGEST_ANSWER


def _without_ids(answer: Answer) -> Answer:
    """Calls get ids of their own each time: a conversation may hold the same call twice."""
    return replace(answer, tool_calls=tuple(replace(one, id=None) for one in answer.tool_calls))
