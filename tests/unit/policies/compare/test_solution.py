"""The comparer of worked solutions reads the final answer, and nothing where it isn't sure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from distill.streams import read_stream
from policies.compare import get_comparer
from policies.types import Answer, Shape

SOLUTION = get_comparer("solution")
STEPS = "Half of the 36 apples are 36 / 2 = 18 apples.\n"


def key(text: str) -> str | None:
    return SOLUTION.key(Answer(content=text), Shape())


def agrees(left: str, right: str) -> bool:
    return SOLUTION.agrees(Answer(content=left), Answer(content=right), Shape())


@pytest.mark.parametrize(
    "ending",
    [
        "#### 18",
        "#### $18.00\n\n",
        "#### 18 apples",
        "####18.",
        "The answer is \\boxed{18}.",
        "\\[ \\boxed{18} \\]",
        "$\\boxed{\\frac{36}{2}}$",
        "The answer is 18.",
        "Therefore, the final answer is: **18**",
        "**Answer:** 18",
        "ans = 18",
        "So, 18 apples are left.",
        "So in the end $18 are left for 2 people.",
        "So, since there are 36 apples, 18 are left.",
        "<<36/2=18>>",
    ],
)
def test_all_ways_to_end_agree(ending: str) -> None:
    assert agrees(STEPS + ending, STEPS + "#### 18")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("#### 1,080", "#### 1080.0"),
        ("#### 0.5", "#### 1/2"),
        ("#### -3", "The answer is −3"),
        ("#### 5%", "It is 5 percent.\n#### 5"),
        ("It takes 5 hours.\n#### 5", "#### 5 hours"),
        ("#### 60g", "#### 60 grams"),
        ("<think>Is it 4? #### 4</think>#### 5", "#### 5"),
        ("I make it 4. The answer is 4. No. The answer is 5", "#### 5"),
        ("The answer is Paris.", "#### paris"),
        ("18", "#### 18"),
    ],
)
def test_the_same_answer_in_other_words(left: str, right: str) -> None:
    assert agrees(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("#### 18", "#### 19"),
        ("#### 18", "#### -18"),
        ("#### 18", "#### 18.5"),
        ("#### 5 hours", "#### 5 minutes"),
        ("#### 5 hours", "#### 5"),
        ("#### 5 cents", "#### $5"),
        ("#### 5%", "#### 5"),
        ("#### 5%", "#### 0.05"),
        ("#### €5", "#### $5"),
        ("#### 5 million", "#### 5"),
        ("The answer is Paris.", "The answer is Rome."),
        ("18 apples are 3 + 15 = 18 apples.", "15 apples are 3 + 15 = 18 apples less 3 = 15."),
    ],
)
def test_another_answer(left: str, right: str) -> None:
    assert agrees(left, left)
    assert agrees(right, right)
    assert not agrees(left, right)


@pytest.mark.parametrize(
    "text",
    [
        "#### 18\n#### 19",
        "#### 18 \\boxed{19}",
        "#### 18 or 19",
        "#### 18\nNo, that was wrong: it is 19.",
        "#### 5-10",
        "#### 5:30",
        "#### 1.234.567",
        "#### 1,5",
        "#### 10^2",
        "#### 10²",
        "#### 1/0",
        "#### 18th",
        "#### ",
        "\\boxed{",
        "\\boxed{" * 50_000,
        "the answer is " * 20_000,
        "Step 1: The answer is 18. Then add 2.",
        "18 apples are left.",
        "36 / 2 = 18 apples, so they are gone.\nNobody knows how many.",
        "One box holds 24, and 18 + 6 = 24.\nSince it holds exactly 24, they need 1 box.",
        "He has 36 / 2 = 18.\nHe gives 5 away.",
        "x = 36 * 2 + y\nSo x is 36.",
        "```\nx = 18\n```\nprints 18",
        "It is 18 minutes or 18 hours, 9 + 9 = 18 minutes.",
    ],
)
def test_in_doubt_nothing_agrees(text: str) -> None:
    assert key(text) is None
    assert not agrees(text, text)


def test_recorded_verdicts_are_agreed_with() -> None:
    """Of GPT-4 and Mixtral on 1,307 questions; the verdicts read the last number that is written.

    So "$64 for the 16 glasses" counts as wrong there, and agreement is held against the verdict on
    Mixtral's solution, which ends in ``####`` nine times of ten. The one agreement with a solution
    that counts as wrong ends in "12 berries per trip to collect 24 berries in 8 hours".
    """
    data = os.environ.get("TUTELAGE_DATA")
    if data is None:
        pytest.skip("set TUTELAGE_DATA to a folder that has recorded streams in streams/")
    both = agreed = 0
    wrong = []
    for row in read_stream(Path(data) / "streams/gsm8k-mixtral-gpt4.jsonl.gz"):
        assert row.student is not None
        alike = SOLUTION.agrees(row.teacher.answer, row.student.answer, Shape())
        if row.teacher.correct and row.student.correct:
            both += 1
            agreed += alike
        elif row.teacher.correct and alike:
            wrong.append(row.id)
    assert both == 739
    assert agreed >= 700
    assert wrong == ["gsm8k-913"]
