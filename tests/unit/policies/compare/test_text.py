"""The text comparer folds next to nothing."""

from __future__ import annotations

import pytest

from policies.compare import get_comparer
from policies.types import Answer, Shape

TEXT = get_comparer("text")


def agrees(left: str, right: str) -> bool:
    return TEXT.agrees(Answer(content=left), Answer(content=right), Shape())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Two\nlines", "Two\r\nlines"),
        ("Two\nlines", "Two\rlines"),
        ("Done.", "Done. \n\n"),
        ("Done.", "Done.\u00a0"),
        ("café", "cafe\u0301"),
        ("Å", "\u212b"),
    ],
)
def test_composition_line_endings_and_space_at_the_end(left: str, right: str) -> None:
    assert agrees(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Done.", "done."),
        ("Done.", "Done"),
        ("Done.", " Done."),
        ("Done.", '"Done."'),
        ("Two words", "Two  words"),
        ("Two words", "Two\u00a0words"),
        ("Two words", "Two\nwords"),
        ("Two\nlines", "Two\n\nlines"),
        ("Hard  \nbreak", "Hard\nbreak"),
        ("１", "1"),
        ("ﬁne", "fine"),
        ("10²", "102"),
        ("don't", "don’t"),
        ("Done.", "Done.\u200b"),
        ("Done.", "Done.\x00"),
        ("You can.", "You can't."),
    ],
)
def test_everything_else_counts(left: str, right: str) -> None:
    assert agrees(left, left)
    assert not agrees(left, right)
