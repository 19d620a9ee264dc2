"""Where a replay's saving crosses what it is owed, and how predictions are held against that."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from benchmarks.appraise.break_even import Bill, find_crossing, ratio_interval
from distill.replay.line import Line
from tests.unit.distill.replay_lines import BY_TEACHER

DOLLAR = Decimal(1)


def lines(asked: int, spared: int) -> list[Line]:
    """A teacher that takes a dollar: asked first, then never again."""
    costs = [DOLLAR] * asked + [Decimal(0)] * spared
    return [replace(BY_TEACHER, cost_usd=cost, teacher_cost_usd=DOLLAR) for cost in costs]


def test_it_pays_where_the_saving_covers_set_up_and_trainings() -> None:
    # 10 asked: 30 + 10 · 0.25 are owed. Then each spares 0.75: 44 do.
    bill = Bill(setup_usd=30.0, training_usd=0.25)
    assert find_crossing(lines(10, 60), bill) == 54
    assert find_crossing(lines(10, 43), bill) is None


def test_an_unknown_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="is unknown"):
        find_crossing([BY_TEACHER], Bill(setup_usd=1.0, training_usd=0.0))


def test_the_ratio_has_a_prediction_interval() -> None:
    mean, low, high = ratio_interval([100.0, 100.0, 100.0], [100.0, 200.0, 400.0])
    assert mean == pytest.approx(200.0 / 100.0)
    # t of two degrees of freedom, the spread ln 2, and √(1 + ⅓) of it for one further order.
    assert high / mean == pytest.approx(31.3, abs=0.1)
    assert low * high == pytest.approx(mean**2)
