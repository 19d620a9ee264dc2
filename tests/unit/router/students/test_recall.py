"""What is remembered, for how long, and how sure a recalled answer is."""

from __future__ import annotations

import random

import pytest

from policies.types import Answer, ToolCall
from router.students.recall import LONGEST_ANSWER, Memory, is_memorable


def memory(most: int = 100, max_age_s: float = 60.0) -> Memory:
    return Memory(most=most, max_age_s=max_age_s)


def learn(
    of: Memory, question: str, answer: str | Answer, at_s: float = 0.0, version: str | None = None
) -> None:
    said = Answer(content=answer) if isinstance(answer, str) else answer
    of.learn(
        question,
        said,
        teacher="big",
        version=version,
        at_s=at_s,
        agrees=lambda before, after: before.content == after.content,
    )


def sureness(of: Memory, question: str, at_s: float = 0.0) -> float:
    found = of.recall(question, at_s)
    assert found is not None
    assert found[1].confidence is not None
    return found[1].confidence


def test_the_newest_answer_is_recalled_until_it_is_too_old() -> None:
    kept = memory()
    assert kept.recall("q", 0.0) is None
    learn(kept, "q", "old", at_s=0.0)
    learn(kept, "q", "new", at_s=30.0)
    found = kept.recall("q", 90.0)
    assert found is not None
    assert found[0].content == "new"
    assert found[1].signals["recall_age_s"] == 60.0
    assert kept.recall("q", 91.0) is None


def test_the_least_recently_used_answer_makes_room() -> None:
    kept = memory(most=2)
    learn(kept, "a", "1")
    learn(kept, "b", "2")
    kept.recall("a", 0.0)
    learn(kept, "c", "3")
    assert [kept.has(q, 0.0) for q in "abc"] == [True, False, True]
    assert len(kept) == 2


def test_another_version_of_the_teacher_forgets_everything() -> None:
    kept = memory()
    learn(kept, "a", "1", version="v1")
    learn(kept, "a", "1", version="v1")
    assert kept.steadiness == pytest.approx(0.75, abs=0.01)
    learn(kept, "b", "2", version=None)  # an upstream that doesn't say
    assert kept.has("a", 0.0)
    learn(kept, "c", "3", version="v2")
    assert [kept.has(q, 0.0) for q in "abc"] == [False, False, True]
    assert kept.steadiness == 0.5


def test_nothing_is_sure_before_the_teacher_has_answered_twice() -> None:
    kept = memory()
    learn(kept, "a", "1")
    assert sureness(kept, "a") == 0.5


def test_steadiness_is_the_share_of_questions_answered_alike_twice() -> None:
    """Each question counts once, however often it is asked; the truth is known here."""
    kept, draw = memory(most=10_000), random.Random(2)
    for i in range(300):
        learn(kept, f"q{i}", "yes")
        learn(kept, f"q{i}", "yes" if draw.random() < 0.9 else "no")
    for _ in range(50):
        learn(kept, "q0", "yes")
    assert kept.steadiness == pytest.approx(0.9, abs=0.04)


def test_a_teacher_that_changed_its_mind_is_noticed_soon() -> None:
    kept = memory(most=10_000)
    for i in range(1_000):
        learn(kept, f"q{i}", "yes")
        learn(kept, f"q{i}", "yes")
    assert kept.steadiness > 0.99
    for i in range(100):
        learn(kept, f"r{i}", "yes")
        learn(kept, f"r{i}", "no")
    assert kept.steadiness < 0.75


def test_a_question_answered_alike_is_surer_and_a_wavering_one_less() -> None:
    kept = memory()
    for i in range(40):
        learn(kept, f"q{i}", "yes")
        learn(kept, f"q{i}", "yes")
    once = kept.steadiness
    learn(kept, "steady", "yes")
    assert sureness(kept, "steady") == pytest.approx(once)
    for _ in range(5):
        learn(kept, "steady", "yes")
    assert sureness(kept, "steady") > once
    learn(kept, "wavering", "yes")
    learn(kept, "wavering", "no")
    assert sureness(kept, "wavering") < 0.7
    assert kept.steadiness < once


def test_refused_cut_empty_and_very_long_answers_are_not_remembered() -> None:
    call = ToolCall(name="f", arguments="{}", id="call_1")
    assert is_memorable(Answer(content="yes"))
    assert is_memorable(Answer(content=None, tool_calls=(call,)))
    for answer in (
        Answer(content=None),
        Answer(content="", finish_reason="stop"),
        Answer(content="ye", finish_reason="length"),
        Answer(content=None, refusal="No."),
        Answer(content="x" * (LONGEST_ANSWER + 1)),
    ):
        assert not is_memorable(answer)
    kept = memory()
    learn(kept, "q", "yes")
    learn(kept, "q", Answer(content=None, refusal="No."))
    assert not kept.has("q", 0.0)  # nor is the answer that it no longer gives


def test_calls_get_ids_of_their_own() -> None:
    kept = memory()
    call = ToolCall(name="f", arguments="{}", id="call_1")
    learn(kept, "q", Answer(content=None, tool_calls=(call,)))
    found = kept.recall("q", 0.0)
    assert found is not None
    assert found[0].tool_calls == (ToolCall(name="f", arguments="{}"),)
