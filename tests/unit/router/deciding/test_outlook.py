"""What an outlook says about a store's traffic."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policies.promise.accuracy import VERDICT
from policies.promise.certificate import Certificate, Terms
from policies.promise.ledger import Ledger
from policies.promise.outlook import bound_rate
from policies.scoring.gate import Gate
from policies.scoring.scorers import Logistic
from policies.types import Answer, Ask, Tier, Trial
from router.deciding.kept import Account
from router.deciding.outlook import Outlook, look_ahead, measure_self_agreement
from router.deciding.promise import PromiseKeeper
from router.meter.metrics import Metrics
from router.record.model import Feedback, Interaction, write_ask
from router.record.rows import teacher_failed
from router.record.store import Store
from router.release import Release
from router.settings.model import PromiseSettings
from router.wire.openai import answer_to_json
from tests.unit.router.record.records import make_record

TERMS = Terms(agreement=0.95)
CENT = Decimal("0.01")


@pytest.fixture
def store() -> Store:
    return Store.open(":memory:")


def make_release(store: Store, risk: float = 0.001) -> Release:
    """One whose gate expects this risk down to a score of 0.9."""
    if store.release("r1") is None:
        store.add_release(digest="r1", workload="w", path=str(Path("r1")), report={})
    one = np.ones(1)
    gate = Gate(
        signals=("margin",),
        scorer=Logistic(mean=one, scale=one, weights=one, bias=0.0),
        curve_score=one * 0.9,
        curve_all=one * risk,
        curve_served=one * risk,
    )
    return Release(
        digest="r1", workload="w", comparer="label", encoder="e", student=None, gate=gate
    )


def drafted(i: int, *, agreed: bool = True, **changes: Any) -> Interaction:
    given = {"workload": "w", "release": "r1", "level": 0, "draft_agreed": agreed}
    return make_record(f"i{i}", input_text=f"question {i}", **(given | changes))


def take_in(store: Store, account: Account, records: list[Interaction]) -> None:
    store.append(records)
    for one in records:
        account.observe(
            Trial(
                level=one.level or 0,
                seen=one.seen,
                wrong=not one.draft_agreed,
                propensity=one.propensity,
                floor=one.floor,
                failed=teacher_failed(one.tier, one.reason, one.seen),
            )
        )


def look(
    store: Store,
    records: list[Interaction],
    *,
    account: Account | None = None,
    release: Release | None = None,
    cost: Decimal | None = CENT,
) -> Outlook:
    kept = Certificate(TERMS) if account is None else account
    take_in(store, kept, records)
    return look_ahead(store, "w", kept, release, cost)


def test_without_a_release_nothing_can_be_told(store: Store) -> None:
    outlook = look(store, [])
    assert (outlook.kind, outlook.cause, outlook.checks) == ("unknown", "no_release", None)


def test_few_drafts_tell_nothing(store: Store) -> None:
    outlook = look(store, [drafted(i) for i in range(10)], release=make_release(store))
    assert (outlook.kind, outlook.cause) == ("unknown", "too_few")
    assert "10 drafts" in outlook.sentence


def test_how_many_checks_are_missing_and_what_they_cost(store: Store) -> None:
    outlook = look(store, [drafted(i) for i in range(40)], release=make_release(store))
    assert (outlook.kind, outlook.cause) == ("not_yet", "not_proven")
    assert outlook.checks is not None
    assert 30 < outlook.checks < 120
    assert outlook.checks_low is not None
    assert outlook.checks_low <= outlook.checks
    assert Decimal(outlook.cost_usd or 0) == outlook.checks * CENT
    assert outlook.sentence.startswith(f"Not yet: about {outlook.checks} more checks")
    assert outlook.sentence.endswith(f"about ${outlook.checks * CENT:.4f}.")


def test_an_unknown_price_is_left_out(store: Store) -> None:
    records = [drafted(i) for i in range(40)]
    outlook = look(store, records, release=make_release(store), cost=None)
    assert outlook.cost_usd is None
    assert "$" not in outlook.sentence


def test_a_release_that_expects_to_err_serves_nothing(store: Store) -> None:
    release = make_release(store, risk=0.5)
    outlook = look(store, [drafted(i) for i in range(40)], release=release)
    assert (outlook.kind, outlook.cause) == ("not_yet", "no_threshold")


def test_a_release_that_errs_at_its_strictest_is_infeasible(store: Store) -> None:
    records = [drafted(i, agreed=i % 3 > 0) for i in range(60)]
    outlook = look(store, records, release=make_release(store))
    assert (outlook.kind, outlook.cause) == ("infeasible", "release_too_wrong")
    assert "5 %" in outlook.sentence


def test_what_is_in_force_is_named_with_what_comes_next(store: Store) -> None:
    outlook = look(store, [drafted(i) for i in range(110)], release=make_release(store))
    assert outlook.kind == "serving"
    assert outlook.sentence.startswith("Level ")
    assert outlook.checks is not None
    proven = Certificate(TERMS)
    for _ in range(3000):
        proven.observe(Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0))
    last = look(store, [], account=proven, release=make_release(store))
    assert (last.kind, last.cause, last.checks) == ("serving", "last_level", None)


def test_a_ledgers_start_is_counted_in_interactions(store: Store) -> None:
    ledger = Ledger(TERMS)
    outlook = look(store, [drafted(i) for i in range(40)], account=ledger)
    assert (outlook.kind, outlook.cause) == ("not_yet", "start_not_earned")
    assert outlook.checks == outlook.checks_low == outlook.checks_high == ledger.missing()
    assert "more interactions" in outlook.sentence
    earned = [drafted(i) for i in range(40, 700)]
    assert look(store, earned, account=ledger).cause == "no_release"
    assert look(store, [], account=ledger, release=make_release(store)).kind == "serving"


def test_a_guarantee_that_can_never_start_is_infeasible(store: Store) -> None:
    outlook = look(store, [], account=Ledger(Terms(agreement=0.999)))
    assert (outlook.kind, outlook.cause) == ("infeasible", "guarantee_too_strict")
    assert "99.9 %" in outlook.sentence


def say(text: str) -> dict[str, Any]:
    return dict(answer_to_json(Answer(content=text)))


def repeats(count: int, unlike: int) -> list[Interaction]:
    """``count`` questions asked twice, ``unlike`` of them answered in two ways."""
    return [
        make_record(
            f"{time}-{i}",
            workload="w",
            input_text=f"again {i}",
            teacher_answer=say("other" if time and i < unlike else "delivery"),
        )
        for time in range(2)
        for i in range(count)
    ]


def test_a_promise_above_the_teachers_agreement_with_itself_is_infeasible(store: Store) -> None:
    store.append(repeats(60, unlike=20))
    outlook = look(store, [drafted(i) for i in range(40)], release=make_release(store))
    assert (outlook.kind, outlook.cause) == ("infeasible", "teacher_wavers")
    assert outlook.self_agreement is not None
    assert (outlook.self_agreement.questions, outlook.self_agreement.alike) == (60, 40)
    assert outlook.self_agreement.at_most == bound_rate(40, 60, 0.95)[1] < 0.95
    assert "40 of 60" in outlook.sentence
    assert outlook.checks is not None  # of the questions on which it doesn't waver
    assert f"about {outlook.checks} more checks" in outlook.sentence


def test_a_steady_teacher_is_no_obstacle(store: Store) -> None:
    store.append(repeats(60, unlike=1))
    outlook = look(store, [drafted(i) for i in range(40)], release=make_release(store))
    assert outlook.kind == "not_yet"
    assert outlook.self_agreement is not None
    assert outlook.self_agreement.alike == 59


@pytest.mark.parametrize(
    "changes",
    [
        {"teacher_version": "another"},
        {"teacher_model": "another"},
        {"request": {"messages": [{"role": "system", "content": "Be brief."}]}},
        {"request": {"messages": [], "temperature": 0.0}},
        {"request": {"messages": [], "n": 2}},
        {"input_text": "where is the parcel of [email]?"},
        {"input_text": "x" * 2000},
    ],
)
def test_only_the_same_request_to_the_same_teacher_counts(
    store: Store, changes: dict[str, Any]
) -> None:
    same: dict[str, Any] = {"workload": "w", "teacher_answer": say("x")}
    first = make_record("a", **same, request={"messages": [], "user": "one"})
    again = make_record("b", **same, request={"messages": [], "user": "two"})
    store.append([first, again])
    assert measure_self_agreement(store, "w", "label", 0.95).questions == 1
    other = Store.open(":memory:")
    text = {"input_text": changes["input_text"]} if "input_text" in changes else {}
    both = {"n": 2} if changes.get("request", {}).get("n") else {}
    given = {"messages": [], **both}
    other.append(
        [
            make_record("a", **(same | {"request": given} | text)),
            make_record("b", **(same | {"request": given} | changes)),
        ]
    )
    assert measure_self_agreement(other, "w", "label", 0.95).questions == 0


def test_a_question_counts_once_however_often_it_is_asked(store: Store) -> None:
    answers = ("x", "x", "y", "z")
    store.append(
        [
            make_record(f"a{i}", workload="w", teacher_answer=say(answer))
            for i, answer in enumerate(answers)
        ]
    )
    found = measure_self_agreement(store, "w", None, 0.95)
    assert (found.questions, found.alike) == (1, 1)


def test_an_answer_that_cannot_be_read_is_passed_over(store: Store) -> None:
    damaged = make_record("a", workload="w", teacher_answer={"content": "x"})
    store.append([damaged, *(make_record(n, workload="w", teacher_answer=say("x")) for n in "bc")])
    found = measure_self_agreement(store, "w", "label", 0.95)
    assert (found.questions, found.alike) == (1, 1)


def test_a_slice_has_an_outlook_from_its_own_trials(store: Store) -> None:
    inside = ({"slices": [{"name": "s", "level": 0, "floor": 1.0}]},)
    take_in(store, Certificate(TERMS), [drafted(i, agreed=i % 3 > 0) for i in range(60)])
    take_in(store, Certificate(TERMS), [drafted(i, trace=inside) for i in range(60, 100)])
    release, account = make_release(store), Certificate(TERMS)
    whole = look_ahead(store, "w", account, release, CENT)
    of_slice = look_ahead(store, "w", account, release, CENT, "s")
    assert (whole.cause, of_slice.cause) == ("release_too_wrong", "not_proven")
    nothing = look_ahead(store, "w", account, release, CENT, "t")
    assert (nothing.cause, nothing.self_agreement) == ("too_few", None)


def drawn(i: int, *, right: bool | None) -> tuple[Interaction, Feedback | None]:
    """An interaction with its verdict, None for silence that is long overdue."""
    ask = Ask(tier=Tier.TEACHER, commit=True, reason=VERDICT, floor=1.0, verdict_share=1.0)
    record = drafted(i, reason=VERDICT, trace=(write_ask(ask),))
    said = None if right is None else Feedback(interaction_id=record.id, score=1.0 if right else -1)
    return record, said


def look_by_verdicts(store: Store, verdicts: Sequence[bool | None]) -> Outlook:
    """Through a keeper, which reads them as the gateway does."""
    keeper = PromiseKeeper(store, Metrics())
    promise = PromiseSettings(accuracy=0.9)
    account = keeper.account("w", promise)
    for i, right in enumerate(verdicts):
        record, said = drawn(i, right=right)
        store.append([replace(record, created_at=time.time() - (90_000 if right is None else 0))])
        if said is not None:
            store.put_feedback(said)
    ((workload, unread),) = keeper.followed().items()
    snapshot = keeper.take_in(workload, [*unread])
    assert snapshot is not None
    store.keep_promise(workload, snapshot)
    return look_ahead(store, "w", account, make_release(store), CENT)


def test_of_accuracy_it_tells_how_many_verdicts_are_missing_and_how_the_teacher_did(
    store: Store,
) -> None:
    outlook = look_by_verdicts(store, [True] * 19 + [None] + [True] * 20)
    assert (outlook.kind, outlook.cause) == ("not_yet", "not_proven")
    assert "The teacher was right in 39 of 40 verdicts" in outlook.sentence
    assert outlook.self_agreement is None
    few = look_by_verdicts(Store.open(":memory:"), [True] * 10)
    assert (few.kind, few.cause) == ("unknown", "too_few")
    assert "10 verdicts were given" in few.sentence


def test_a_teacher_that_is_not_good_enough_makes_accuracy_infeasible(store: Store) -> None:
    outlook = look_by_verdicts(store, [i % 2 > 0 for i in range(60)])
    assert (outlook.kind, outlook.cause) == ("infeasible", "teacher_errs")
    assert outlook.sentence.startswith("Infeasible: the teacher itself is right in at most 6")
    assert "30 of 60 verdicts" in outlook.sentence
