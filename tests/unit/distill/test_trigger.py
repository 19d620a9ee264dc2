"""When the next cycle begins."""

from __future__ import annotations

import pytest

from distill.dataset import MIN_ANSWERS
from distill.trigger import count_needed


@pytest.mark.parametrize(
    ("before", "needed"),
    [(0, MIN_ANSWERS), (40, MIN_ANSWERS), (100, 150), (200, 250), (201, 252), (1000, 1250)],
)
def test_a_quarter_more_but_at_least_fifty(before: int, needed: int) -> None:
    assert count_needed(before, None) == needed


@pytest.mark.parametrize(
    ("before", "new", "needed"), [(0, 500, 500), (0, 10, MIN_ANSWERS), (1000, 10, 1010)]
)
def test_a_configured_number_counts_alone(before: int, new: int, needed: int) -> None:
    assert count_needed(before, new) == needed


@pytest.mark.parametrize(
    ("since", "needed"), [(0, 1050), (100, 1050), (400, 1100), (1000, 1250), (2000, 1250)]
)
def test_after_a_change_only_what_came_since_is_known(since: int, needed: int) -> None:
    assert count_needed(1000, None, since) == needed
    assert count_needed(1000, 10, since) == 1010
