"""When a workload has enough new answers for another student."""

from __future__ import annotations

import math

from distill.dataset import MIN_ANSWERS

_MIN_NEW = 50
_GROWTH = 0.25


def count_needed(
    answers_before: int, min_new_answers: int | None, since_change: int | None = None
) -> int:
    """How many answers a workload must have until its next cycle begins.

    ``answers_before``: those it had at its last cycle, 0 before the first. Without a configured
    ``min_new_answers``: a quarter more, at least 50 more, so that a young student learns often
    and an old one when it can make a difference. After a change it is young again: only the
    answers ``since_change`` count for the quarter.
    """
    known = answers_before if since_change is None else min(answers_before, since_change)
    new = min_new_answers or max(_MIN_NEW, math.ceil(_GROWTH * known))
    return max(MIN_ANSWERS, answers_before + new)
