"""Five kinds of traffic get the advice that they should, and the day it pays is arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from distill.advise.decision import Action, Figures, Point, decide, vary

NARROW = Figures(
    per_day=10_000,
    teacher_usd=0.05,
    student_usd=0.0,
    setup_usd=500,
    cycle_usd=1,
    cycles_per_month=30,
    horizon_days=90,
    licensed=True,
    curve=[
        Point(answers=500, agreement=0.75, share=0.0),
        Point(answers=1_000, agreement=0.8, share=0.3),
        Point(answers=4_000, agreement=0.9, share=0.6),
    ],
)
DIVERSE = replace(NARROW, curve=[Point(answers=4_000, agreement=0.4, share=0.05)])
RARE = replace(NARROW, per_day=50, teacher_usd=0.05)
POOR = replace(NARROW, gold=2_000, teacher_accuracy=0.7)
DENIED = replace(NARROW, licensed=False)


@pytest.mark.parametrize(
    ("figures", "action", "why"),
    [
        (NARROW, Action.DISTILL, "a student would answer 54%"),
        (DIVERSE, Action.ROUTE, "too diverse"),
        (RARE, Action.LEAVE, "less than setting anything up"),
        (POOR, Action.FINE_TUNE, "right in 70% of 2000 cases"),
        (DENIED, Action.ROUTE, "may not be learned from"),
        (replace(NARROW, curve=[]), Action.ROUTE, "proven on 0% of it"),
        (replace(NARROW, cycle_usd=20_000), Action.LEAVE, "more in 90 days than it saves"),
        (replace(POOR, gold=50), Action.DISTILL, "a student would answer"),
    ],
)
def test_the_advice_fits_the_kind_of_traffic(figures: Figures, action: Action, why: str) -> None:
    advice = decide(figures)
    assert advice.action is action
    assert why in advice.reason


def test_the_break_even_day_is_when_the_saving_has_paid_for_the_costs() -> None:
    advice = decide(NARROW)
    day = advice.break_even_day
    assert day is not None
    starts = 1_000 / 10_000
    saved = 10_000 * 0.6 * 0.9 * 0.05 * (day - starts)
    assert saved == pytest.approx(500 + 1 * day)
    assert advice.net_usd == pytest.approx(270 * (90 - starts) - 90 - 500)


def test_what_never_pays_has_no_such_day() -> None:
    assert decide(replace(NARROW, student_usd=0.05)).break_even_day is None
    assert decide(replace(NARROW, curve=[])).break_even_day is None


def test_every_figure_is_varied_alone() -> None:
    turned = {(one.figure, one.factor): one for one in vary(NARROW)}
    assert len(turned) == 14  # the student is free, and nothing times two stays nothing
    assert {one.action for one in turned.values()} == {Action.DISTILL}
    assert turned["per_day", 2.0].net_usd > decide(NARROW).net_usd
    assert [one.action for one in vary(RARE) if one.figure == "per_day"] == ["leave", "leave"]
