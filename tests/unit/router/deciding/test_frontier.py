"""A workload's frontier from what its store holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from policies.types import Tier
from router.deciding.frontier import Frontier, NotYet, frontier_of
from router.record.model import Decision, Interaction
from router.record.store import Store
from router.settings.model import WorkloadSettings
from tests.unit.router.record.records import make_record

PROMISE = WorkloadSettings.model_validate({"name": "w", "promise": {"agreement": 0.9}})
THRESHOLD = WorkloadSettings.model_validate(
    {"name": "w", "policy": "threshold", "threshold": 0.5, "audit": {"max_share": 0.25}}
)


def make_decision(**changes: Any) -> Decision:
    values: dict[str, Any] = {
        "tier": Tier.TEACHER,
        "reason": "below_threshold",
        "status": "ok",
        "release": "r",
        "confidence": 0.3,
        "threshold": 0.5,
        "propensity": 1.0,
        "seen": True,
        "audited": False,
        "draft_agreed": False,
        "teacher_cost_usd": Decimal("0.01"),
    }
    return Decision(**values | changes)


def make_log(audited: int = 4) -> list[Decision]:
    """100 wrong drafts below 0.5, all seen; 300 above it, of which one in ``audited`` is seen."""
    below = [make_decision(confidence=0.001 * i) for i in range(100)]
    above = [
        make_decision(
            tier=Tier.STUDENT,
            reason="above_threshold",
            confidence=0.6 + 0.001 * i,
            propensity=1 / audited,
            seen=i % audited == 0,
            audited=i % audited == 0,
            draft_agreed=True if i % audited == 0 else None,
            teacher_cost_usd=Decimal("0.01") if i % audited == 0 else None,
        )
        for i in range(300)
    ]
    return [*below, *above]


def read(
    decisions: Sequence[Decision],
    settings: WorkloadSettings | None = THRESHOLD,
    budget: str | None = None,
) -> Frontier:
    return frontier_of(
        decisions,
        workload="w",
        release="r",
        settings=settings,
        usd_per_interaction=None if budget is None else Decimal(budget),
    )


def test_a_frontier_runs_from_the_teacher_alone_to_every_draft() -> None:
    found = read(make_log())
    assert (found.interactions, found.drafts, found.checked) == (400, 400, 175)
    first, last = found.outlooks[0], found.outlooks[-1]
    assert (first.threshold, first.served, last.threshold, last.served) == (None, 0.0, 0.0, 1.0)
    assert last.agreement.value == pytest.approx(0.75)
    served = [outlook.served for outlook in found.outlooks]
    assert served == sorted(served)
    assert found.marks["teacher"] == 0
    assert found.marks["student"] == len(found.outlooks) - 1
    assert "promise" not in found.marks


def test_the_threshold_in_force_is_among_them_with_its_audits_counted() -> None:
    found = read(make_log())
    at = found.marks["in_force"]
    assert at is not None
    outlook = found.outlooks[at]
    assert (outlook.threshold, outlook.served) == (0.5, 0.75)
    assert outlook.asked == pytest.approx(0.25 + 0.25 * 0.75)
    assert outlook.cost_usd is not None
    assert outlook.cost_usd.value == pytest.approx(0.01 * outlook.asked)
    assert outlook.agreement.value == 1.0


@pytest.mark.parametrize(
    ("policy", "threshold"),
    [
        ({"promise": {"agreement": 0.9}}, 0.5),
        ({"policy": "student"}, 0.0),
        ({"policy": "teacher"}, None),
    ],
)
def test_what_is_in_force_follows_the_policy(policy: dict[str, Any], threshold: float) -> None:
    found = read(make_log(), WorkloadSettings.model_validate({"name": "w", **policy}))
    at = found.marks["in_force"]
    assert at is not None
    assert found.outlooks[at].threshold == threshold


def test_a_promise_marks_the_cheapest_threshold_that_is_shown_to_keep_it() -> None:
    found = read(make_log(), PROMISE)
    at = found.marks["promise"]
    assert at is not None
    assert found.agreement == 0.9
    assert found.outlooks[at].agreement.low >= 0.9 > found.outlooks[at + 1].agreement.low
    assert found.outlooks[at].served >= 0.75


def test_a_budget_marks_the_best_agreement_within_it() -> None:
    found = read(make_log(), budget="0.006")
    at = found.marks["budget"]
    assert at is not None
    within, before = found.outlooks[at].cost_usd, found.outlooks[at - 1].cost_usd
    assert within is not None
    assert before is not None
    assert within.high <= 0.006 < before.high
    assert read(make_log(), budget="0.0001").marks["budget"] is None


def test_an_unknown_cost_is_never_taken_for_nothing() -> None:
    log = [*make_log(), make_decision(teacher_cost_usd=None)]
    found = read(log)
    assert {outlook.cost_usd for outlook in found.outlooks} == {None}
    with pytest.raises(NotYet, match="What 1 of 176 answers of the teacher cost"):
        read(log, budget="0.01")


def test_what_says_nothing_about_a_threshold_is_left_out_and_counted() -> None:
    others = [
        make_decision(reason="forced"),
        make_decision(reason="pinned", release=None, confidence=None),
        make_decision(release="older"),
        make_decision(reason="repeat"),
        make_decision(reason="targeted", release=None, confidence=None),
    ]
    found = read([*make_log(), *others])
    assert found.left_out == {
        "chosen_by_caller": 2,
        "another_release": 1,
        "asked_on_purpose": 2,
    }
    assert found.interactions == 400


def test_where_no_draft_could_be_made_the_teacher_answers() -> None:
    none = make_decision(reason="not_cascadable", release=None, confidence=None, draft_agreed=None)
    found = read([*make_log(), *[none] * 400])
    assert (found.interactions, found.drafts) == (800, 400)
    assert found.outlooks[-1].served == 0.5
    assert found.outlooks[-1].agreement.value == pytest.approx(0.875)


def test_an_audit_that_failed_is_made_up_for_by_those_that_came() -> None:
    lost = {"seen": False, "draft_agreed": None, "teacher_cost_usd": None}
    log = [
        make_decision(
            tier=Tier.STUDENT,
            reason="above_threshold",
            confidence=0.6 + 0.001 * i,
            audited=True,
            **({"draft_agreed": i % 4 != 0} if i % 2 == 0 else lost),
        )
        for i in range(200)
    ]
    assert read(log).outlooks[-1].agreement.value == pytest.approx(0.5)


def test_what_could_never_be_checked_is_said() -> None:
    unaudited = [
        make_decision(
            tier=Tier.STUDENT, reason="above_threshold", confidence=0.95, seen=False, propensity=1.0
        )
    ]
    with pytest.raises(NotYet, match=r"confidence from 0\.950 on were never checked.*max_share"):
        read([*make_log(), *unaudited * 300])
    left = [
        make_decision(
            tier=Tier.STUDENT,
            reason="above_threshold",
            confidence=0.95,
            seen=False,
            propensity=0.05,
            status="broken",
        )
    ]
    with pytest.raises(NotYet, match="never checked"):
        read([*make_log(), *left * 300])


def test_too_few_drafts_are_not_yet_enough() -> None:
    with pytest.raises(NotYet, match="has 99 drafts in workload 'w' and a frontier needs 100"):
        read(make_log()[:99])
    with pytest.raises(NotYet, match="policy teacher, which makes no drafts"):
        read([], None)


def test_it_is_ready_for_json() -> None:
    written = json.dumps(read(make_log(), PROMISE, "0.006").to_json(), allow_nan=False)
    again = json.loads(written)
    assert again["usd_per_interaction"] == "0.006"
    assert again["outlooks"][0]["threshold"] is None
    assert set(again["outlooks"][-1]["agreement"]) == {"value", "low", "high"}
    assert again["outlooks"][again["marks"]["promise"]]["agreement"]["low"] >= 0.9


def _record(number: int, **changes: Any) -> Interaction:
    return make_record(f"i{number}", workload="w", **changes)


def test_the_store_gives_decisions_from_the_first_draft_of_a_release_on() -> None:
    store = Store.open(":memory:")
    audit = _record(0).attempts[0]
    records = [
        _record(1, release="older", confidence=0.9),
        _record(2, release="r", confidence=0.8, draft_agreed=True),
        _record(3, release="older", confidence=0.7),
        _record(
            4,
            tier=Tier.STUDENT,
            release="r",
            confidence=0.95,
            propensity=0.05,
            seen=False,
            teacher_cost_estimated=True,
            attempts=(),
        ),
        make_record("other", workload="x", release="r"),
    ]
    store.append(records)
    changed = {"interaction_id": "i5", "purpose": "audit"}
    attempt = type(audit)(**{**vars(audit), **changed})
    store.append([_record(5, tier=Tier.STUDENT, release="r", attempts=(attempt,))])
    found = list(store.decisions("w", "r"))
    assert [d.confidence for d in found] == [0.8, 0.7, 0.95, None]
    assert [d.audited for d in found] == [False, False, False, True]
    assert found[0].teacher_cost_usd == Decimal("0.000123456789")
    assert found[2].teacher_cost_usd is None
    assert (found[2].tier, found[2].propensity, found[2].seen) == (Tier.STUDENT, 0.05, False)
    assert list(store.decisions("w", "never")) == []
