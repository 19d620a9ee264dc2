from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from policies.types import Tier
from router.record.model import Interaction
from router.record.store import Store
from tests.unit.router.record.records import make_record


def served(record_id: str, **changes: Any) -> Interaction:
    usual: dict[str, Any] = {
        "tier": Tier.STUDENT,
        "reason": "certified",
        "teacher_answer": None,
        "seen": False,
        "cost_usd": Decimal(0),
        "teacher_cost_usd": Decimal("0.02"),
        "teacher_cost_estimated": True,
        "propensity": 0.95,
        "floor": 0.05,
    }
    return make_record(record_id, **(usual | changes))


def asked(record_id: str, **changes: Any) -> Interaction:
    money = Decimal("0.02")
    usual: dict[str, Any] = {"cost_usd": money, "teacher_cost_usd": money, "agreed": True}
    return make_record(record_id, **(usual | changes))


def test_nothing_is_known_of_nothing(store: Store) -> None:
    totals = store.totals()
    assert totals.interactions == 0
    assert totals.cost_usd == 0
    assert totals.share(Tier.TEACHER) is None
    assert totals.cost_per_interaction is None
    assert totals.saving is None
    assert totals.agreement is None
    assert totals.first_at is None
    assert store.series() == []


def test_totals(store: Store) -> None:
    store.append(
        [
            asked("t1", created_at=5.0),
            served("s1"),
            served("s2", workload="other"),
            served("s3"),
            asked("e1", status="error", answer=None, cost_usd=None, teacher_cost_usd=None),
            asked("u1", cost_usd=None, created_at=900.0),
        ]
    )
    totals = store.totals()
    assert totals.interactions == 6
    assert totals.by_tier == {Tier.RECALL: 0, Tier.STUDENT: 3, Tier.TEACHER: 3}
    assert totals.share(Tier.STUDENT) == 0.5
    assert totals.errors == 1
    assert (totals.cost_usd, totals.priced) == (Decimal("0.02"), 4)
    assert (totals.teacher_cost_usd, totals.teacher_priced) == (Decimal("0.10"), 5)
    assert totals.teacher_estimated == 3
    assert totals.cost_per_interaction == Decimal("0.005")
    assert totals.teacher_cost_per_interaction == Decimal("0.02")
    # u1's own cost is unknown, so neither side of the comparison counts it.
    assert totals.compared_teacher_cost_usd == Decimal("0.08")
    assert totals.saving == pytest.approx(0.75)
    assert (totals.first_at, totals.last_at) == (5.0, 900.0)
    assert store.totals("other").interactions == 1
    assert store.totals("nowhere").interactions == 0


def test_sums_are_exact(store: Store) -> None:
    draw = random.Random(7)
    costs = [Decimal(draw.randrange(10**11)).scaleb(-12) for _ in range(400)]
    store.append([asked(f"i{n}", cost_usd=cost) for n, cost in enumerate(costs)])
    assert store.totals().cost_usd == sum(costs)
    assert sum(figures.cost_usd for figures in store.series(buckets=7)) == sum(costs)


def test_the_teachers_own_answers_agree(store: Store) -> None:
    store.append([asked("t1"), asked("t2", draft_agreed=False, level=20)])
    assert store.totals().agreement == 1.0


def test_agreement_of_what_nobody_checked_is_unknown(store: Store) -> None:
    store.append([asked("t1"), served("s1")])
    assert store.totals().agreement is None
    assert store.totals().measured == 0


def test_a_teacher_answer_below_the_threshold_is_no_random_check(store: Store) -> None:
    store.append([served("s1"), asked("t1", reason="below_threshold", draft_agreed=False)])
    assert store.totals().agreement is None


def test_agreement_is_estimated_from_random_checks(store: Store) -> None:
    proof = {"reason": "proof", "propensity": 0.05, "floor": 0.05}
    store.append(
        [
            *(served(f"s{n}") for n in range(60)),
            *(asked(f"ok{n}", draft_agreed=True, **proof) for n in range(9)),
            asked("wrong", draft_agreed=False, **proof),
            *(asked(f"b{n}", reason="below_threshold", draft_agreed=False) for n in range(30)),
        ]
    )
    totals = store.totals()
    assert totals.measured == 10
    # 60 of 100 were served, and 1 in 10 drafts fit to be served was wrong.
    assert totals.agreement == pytest.approx(0.94)


def test_audits_count_by_what_was_delivered_and_by_their_propensity(store: Store) -> None:
    store.append(
        [
            served("s1"),
            served("s2"),
            served("a1", seen=True, agreed=True, propensity=0.1),
            served("a2", seen=True, agreed=False, propensity=0.5),
        ]
    )
    assert store.totals().agreement == pytest.approx(1 - 2 / 12)


def test_series_slices_equally_and_in_order(store: Store) -> None:
    store.append([asked(f"t{n}", created_at=float(n)) for n in range(30)])
    store.append([served(f"s{n}", created_at=30.0 + n) for n in range(30)])
    store.append([asked("other", workload="other", created_at=99.0)])
    series = store.series("support", buckets=6)
    assert [figures.interactions for figures in series] == [10] * 6
    assert [figures.first_at for figures in series] == [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]
    assert [figures.share(Tier.STUDENT) for figures in series] == [0.0] * 3 + [1.0] * 3
    cost = [figures.cost_per_interaction for figures in series]
    assert cost == [Decimal("0.02")] * 3 + [Decimal(0)] * 3
    assert {figures.teacher_cost_per_interaction for figures in series} == {Decimal("0.02")}
    assert len(store.series()) == 60
    assert [figures.interactions for figures in store.series("other", buckets=6)] == [1]


def test_a_proof_counts_for_the_drafts_that_were_served_in_its_place(store: Store) -> None:
    """At a share of 0.5 as many were served as asked; at 0.1 nine times as many."""
    often = {"reason": "proof", "propensity": 0.5, "floor": 0.5}
    rare = {"reason": "proof", "propensity": 0.1, "floor": 0.1}
    store.append(
        [
            *(served(f"a{n}") for n in range(10)),
            *(asked(f"p{n}", draft_agreed=n >= 5, **often) for n in range(10)),
            *(served(f"b{n}") for n in range(90)),
            *(asked(f"q{n}", draft_agreed=True, **rare) for n in range(10)),
        ]
    )
    totals = store.totals()
    assert totals.measured == 20
    assert totals.agreement == pytest.approx(1 - 5 / 120)


def test_proofs_where_nothing_was_served_say_nothing_about_what_was(store: Store) -> None:
    proof = {"reason": "proof", "propensity": 1.0}
    store.append([served("s"), asked("p", draft_agreed=False, **proof)])
    assert store.totals().agreement is None
