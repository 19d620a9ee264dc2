"""What a threshold would bring, from logs small enough to reckon by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from policies.estimate import (
    Estimate,
    Logged,
    Outlook,
    UncheckedError,
    balance_weights,
    estimate_outlooks,
    find_cheapest,
    find_within_budget,
)


def make_log(n: int = 100, **changes: object) -> Logged:
    """All seen, at a cost of 0.01 USD; scores 0.005, 0.015, …; the lowest tenth is wrong."""
    score = (np.arange(n) + 0.5) / n
    log = Logged(
        score=score,
        propensity=np.ones(n),
        seen=np.ones(n, dtype=np.bool_),
        failed=np.zeros(n, dtype=np.bool_),
        wrong=score < 0.1,
        teacher_usd=np.full(n, 0.01),
        draft_usd=np.zeros(n),
    )
    return replace(log, **changes)  # type: ignore[arg-type]


def outlook(log: Logged, threshold: float | None, audit_share: float = 0.0) -> Outlook:
    return estimate_outlooks(log, [threshold], audit_share=audit_share, confidence=0.95)[0]


def test_where_all_was_seen_the_figures_are_counts() -> None:
    found = outlook(make_log(), 0.05, audit_share=0.1)
    assert (found.served, found.errors) == (0.95, 5)
    assert found.agreement.value == pytest.approx(0.95)
    assert found.agreement_served is not None
    assert found.agreement_served.value == pytest.approx(90 / 95)
    assert found.asked == pytest.approx(0.05 + 0.095)
    assert found.cost_usd is not None
    assert found.cost_usd.value == pytest.approx(0.01 * found.asked)
    assert found.saving == pytest.approx(1.0 - found.asked)
    assert (found.ips, found.snips) == (pytest.approx(0.95), pytest.approx(0.95))


def test_the_ends_are_the_teacher_alone_and_every_draft() -> None:
    log = make_log(draft_usd=np.full(100, 0.001))
    teacher, student = outlook(log, None), outlook(log, 0.0)
    assert (teacher.served, teacher.asked, teacher.saving) == (0.0, 1.0, 0.0)
    assert teacher.agreement == Estimate(value=1.0, low=1.0, high=1.0)
    assert teacher.agreement_served is None
    assert (student.served, student.asked) == (1.0, 0.0)
    assert student.agreement.value == pytest.approx(0.9)
    assert student.cost_usd is not None
    assert student.cost_usd.value == pytest.approx(0.001)


def test_a_seen_draft_stands_for_those_of_its_score_that_were_not() -> None:
    """From 0.5 on one in five is seen; one of those is wrong."""
    n = 1000
    score = (np.arange(n) + 0.5) / n
    sure = score >= 0.5
    seen = ~sure | (np.arange(n) % 5 == 0)
    wrong = np.arange(n) == 700
    log = make_log(
        n, propensity=np.where(sure, 0.2, 1.0), seen=seen, wrong=wrong, teacher_usd=np.ones(n)
    )
    found = outlook(log, 0.5)
    assert found.errors == 1
    assert found.agreement.value == pytest.approx(1.0 - 5 / n)
    assert (found.ips, found.snips) == (pytest.approx(1.0 - 5 / n), pytest.approx(1.0 - 5 / n))
    assert found.agreement.high < 1.0
    assert found.agreement.low == pytest.approx(1.0 - 5 * 5.5716 / n, abs=1e-5)


def test_what_was_seen_while_everything_was_seen_counts_in_full() -> None:
    """Half of the log saw all, the other half one in ten: 1/π̄ is 1/0.55, not 10."""
    n = 1000
    score = np.tile([0.9, 0.8], n // 2)
    propensity = np.where(np.arange(n) < n // 2, 1.0, 0.1)
    log = make_log(n, score=score, propensity=propensity)
    np.testing.assert_allclose(balance_weights(log), 1.0 / 0.55)


def test_where_there_was_no_draft_the_teacher_answers_at_any_threshold() -> None:
    log = make_log()
    none = np.full(100, math.nan)
    both = Logged(
        **{
            name: np.concatenate([getattr(log, name), none if name == "score" else other])
            for name, other in vars(log).items()
        }
    )
    found = outlook(both, 0.0)
    assert found.served == 0.5
    assert found.agreement.value == pytest.approx(0.95)
    assert found.agreement_served is not None
    assert found.agreement_served.value == pytest.approx(0.9)


def test_a_teacher_that_failed_at_random_is_made_up_for() -> None:
    failed = np.arange(100) % 2 == 0
    log = make_log(seen=~failed, failed=failed)
    np.testing.assert_allclose(balance_weights(log), 2.0)
    assert outlook(log, 0.0).agreement.value == pytest.approx(0.9)


def test_an_unknown_cost_leaves_every_cost_unknown_and_nothing_else() -> None:
    costs = np.full(100, 0.01)
    costs[3] = math.nan
    found = outlook(make_log(teacher_usd=costs), 0.05)
    assert (found.cost_usd, found.saving) == (None, None)
    assert found.agreement.value == pytest.approx(0.95)


def test_a_free_teacher_saves_nothing_that_can_be_told() -> None:
    found = outlook(make_log(teacher_usd=np.zeros(100)), 0.05)
    assert found.cost_usd == Estimate(value=0.0, low=0.0, high=0.0)
    assert found.saving is None


def test_what_was_never_checked_is_refused_and_named() -> None:
    propensity = np.where(np.arange(100) < 50, 1.0, 0.0)
    with pytest.raises(UncheckedError) as refused:
        outlook(make_log(propensity=propensity, seen=propensity > 0.0), 0.5)
    assert refused.value.score == pytest.approx(0.505)
    with pytest.raises(ValueError, match="nothing"):
        estimate_outlooks(make_log(0), [0.5], audit_share=0.0, confidence=0.95)


def curve(*risks: tuple[float, float]) -> list[Outlook]:
    """The teacher alone, then an outlook per (risk over all, its upper limit)."""
    base = outlook(make_log(), None)
    return [
        base,
        *(
            replace(
                base,
                agreement=Estimate(value=1.0 - risk, low=1.0 - high, high=1.0),
                agreement_served=Estimate(value=1.0 - risk, low=1.0 - 2.0 * high, high=1.0),
                spotless=0.99,
                spotless_served=0.99,
                cost_usd=Estimate(value=0.01, low=0.0, high=0.01 * (1.0 - high)),
            )
            for risk, high in risks
        ),
    ]


def test_the_cheapest_that_keeps_a_promise_is_the_last_before_the_first_that_fails() -> None:
    found = curve((0.01, 0.02), (0.02, 0.04), (0.03, 0.06), (0.02, 0.03))
    assert find_cheapest(found, 0.95, "all") == 2
    assert find_cheapest(found, 0.95, "served") == 1
    assert find_cheapest(found, 0.985, "all") == 0


def test_a_threshold_that_no_record_could_show_is_passed_over() -> None:
    found = curve((0.0, 0.09), (0.01, 0.04))
    found[1] = replace(found[1], spotless=0.91)
    assert find_cheapest(found, 0.95, "all") == 2


def test_a_budget_buys_the_strictest_that_stays_within_it() -> None:
    found = curve((0.01, 0.02), (0.02, 0.04))
    assert find_within_budget(found, 1.0) == 0
    assert find_within_budget(found, 0.0099) == 1
    assert find_within_budget(found, 0.0097) == 2
    assert find_within_budget(found, 0.001) is None
    assert find_within_budget([replace(one, cost_usd=None) for one in found], 1.0) is None
