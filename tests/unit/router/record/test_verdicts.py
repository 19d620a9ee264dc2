"""What a verdict makes of two answers, and when an interaction counts for a promise on accuracy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.promise.accuracy import VERDICT
from policies.promise.certificate import Certificate, Terms
from policies.types import Answer, Ask, Tier, Trial
from router.deciding.promise import PromiseKeeper
from router.meter.metrics import Metrics
from router.record.model import Feedback, Interaction, write_ask
from router.record.store import Store
from router.record.verdicts import SILENCE, Judged, judge
from router.settings.model import PromiseSettings
from router.settings.verdicts import VerdictSettings
from router.wire.openai import answer_to_json
from tests.unit.router.record.records import make_record

DAY = 86_400.0
PROMISE = PromiseSettings(accuracy=0.9, verdicts=VerdictSettings(share=0.2))
DELIVERY, RETURN = (
    answer_to_json(Answer(content=said, finish_reason="stop")) for said in ("delivery", "return")
)


def test_what_a_comparer_of_another_version_judged_is_in_doubt_wrong() -> None:
    told = judge(
        score=None,
        correction="return",
        comparer="of-tomorrow",
        request={"messages": []},
        draft=RETURN,
        teacher_answer=RETURN,
        draft_agreed=True,
    )
    assert told == SILENCE


class Clock:
    """Seconds since the epoch, as the store sees them."""

    def __init__(self) -> None:
        self.now = 200.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Store:
    opened = Store.open(":memory:")
    opened._clock = clock
    return opened


def interaction(name: str, reason: str, **changes: Any) -> Interaction:
    """One for which the coin fell, whose draft said ``return``."""
    served = reason == "certified"
    ask = Ask(
        tier=Tier.STUDENT if served else Tier.TEACHER,
        commit=True,
        reason=reason,
        floor=0.2,
        verdict_share=0.2,
    )
    given = {
        "workload": "w",
        "tier": ask.tier,
        "reason": reason,
        "seen": not served,
        "draft": RETURN,
        "teacher_answer": None if served else DELIVERY,
        "draft_agreed": None if served else False,
        "level": 0,
        "floor": 0.2,
        "trace": (write_ask(ask),),
    }
    return make_record(name, **(given | changes))


def read(store: Store, within_s: float = DAY) -> list[Trial]:
    return [trial for _, trial in store.judged_trials("w", within_s)]


RIGHT = Judged(draft_wrong=False, teacher_wrong=False)


@pytest.mark.parametrize(
    ("said", "draft", "agreed", "expected"),
    [
        ({"correction": "Delivery."}, DELIVERY, True, RIGHT),
        ({"correction": "delivery"}, RETURN, False, Judged(draft_wrong=True, teacher_wrong=False)),
        ({"correction": "return"}, RETURN, False, Judged(draft_wrong=False, teacher_wrong=True)),
        ({"correction": "refund"}, RETURN, False, SILENCE),
        # A correction outranks a score, and what is redacted could be anything.
        ({"correction": "refund", "score": 1.0}, DELIVERY, True, SILENCE),
        ({"correction": "[email]"}, DELIVERY | {"content": "[email]"}, True, SILENCE),
        ({"correction": "return"}, {"content": "return"}, False, SILENCE),  # written otherwise
        ({"correction": "delivery"}, None, None, Judged(draft_wrong=True, teacher_wrong=False)),
        ({"score": 0.1}, DELIVERY, True, RIGHT),
        ({"score": 1.0}, RETURN, False, Judged(draft_wrong=True, teacher_wrong=False)),
        ({"score": 1.0}, None, None, Judged(draft_wrong=True, teacher_wrong=False)),
        ({"score": 0.0}, DELIVERY, True, SILENCE),
        ({"score": -1.0}, RETURN, False, SILENCE),
    ],
)
def test_what_a_verdict_says_of_both_answers(
    said: dict[str, Any], draft: dict[str, Any] | None, agreed: bool | None, expected: Judged
) -> None:
    given = {"score": None, "correction": None} | said
    found = judge(
        **given,
        comparer="label",
        request=None,
        draft=draft,
        teacher_answer=DELIVERY,
        draft_agreed=agreed,
    )
    assert found == expected


def test_nothing_is_read_before_an_earlier_verdict_is_there_or_overdue(
    store: Store, clock: Clock
) -> None:
    reasons = ["certified", VERDICT, "observe", VERDICT, "certified"]
    store.append([interaction(f"i{n}", reason) for n, reason in enumerate(reasons)])
    assert len(read(store)) == 1
    store.put_feedback(Feedback(interaction_id="i3", score=1.0))
    store.put_feedback(Feedback(interaction_id="i1", label="odd"))
    assert len(read(store)) == 1  # the first still waits, and a label says nothing
    store.put_feedback(Feedback(interaction_id="i1", correction="return"))
    trials = read(store)
    assert [trial.seen for trial in trials] == [False, True, False, True, False]
    assert [trial.wrong for trial in trials if trial.seen] == [False, True]
    assert [trial.teacher_wrong for trial in trials if trial.seen] == [True, False]
    assert {(trial.propensity, trial.floor, trial.failed) for trial in trials} == {
        (0.2, 0.2, False)
    }
    # The watch goes on comparing drafts with the teacher's answers, wherever there is one.
    assert [trial.disagreed for trial in trials] == [None, True, True, True, None]
    assert [seq for seq, _ in store.judged_trials("w", DAY, after_seq=3)] == [4, 5]


def test_silence_and_a_late_verdict_are_wrong(store: Store, clock: Clock) -> None:
    store.append([interaction("silent", VERDICT), interaction("late", VERDICT)])
    silent, late = (store.interaction(name) for name in ("silent", "late"))
    assert silent is not None
    assert late is not None
    assert store.waits_for_verdict(silent, DAY)
    clock.now = 100.0 + DAY + 1.0
    store.put_feedback(Feedback(interaction_id="late", score=1.0))
    assert [(one.seen, one.wrong, one.teacher_wrong) for one in read(store)] == [
        (True, True, True)
    ] * 2
    assert not store.waits_for_verdict(silent, DAY)
    # With more time the second is in time, and the first still waits.
    assert read(store, 3 * DAY) == []


def test_a_teacher_that_failed_is_charged_and_whoever_stood_in_for_it_earns_nothing(
    store: Store,
) -> None:
    """Drawn it is no verdict that anybody waits for; undrawn it says nothing."""
    drawn = interaction("drawn", VERDICT, seen=False, status="error", teacher_answer=None)
    stood = replace(drawn, id="stood", tier=Tier.STUDENT, reason="proof_failed", attempts=())
    outright = interaction("outright", "observe", seen=False, status="error")
    store.append([drawn, stood, outright])
    assert [(one.seen, one.failed) for one in read(store)] == [
        (False, True),
        (False, True),
        (False, False),
    ]


def test_what_no_coin_fell_for_is_no_evidence(store: Store) -> None:
    """Such as interactions under a promise on agreement that end once accuracy is promised."""
    store.append([make_record("before", workload="w", level=0, draft_agreed=True)])
    assert read(store) == []


def test_an_account_goes_on_after_a_restart_and_counts_a_verdict_as_it_was_first_read(
    store: Store,
) -> None:
    store.append([interaction("before", VERDICT)])
    keeper = PromiseKeeper(store, Metrics())
    account = keeper.account("w", PROMISE)
    assert isinstance(account, Certificate)
    assert account.terms == Terms(accuracy=0.9, within_s=DAY)
    trial = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
    assert keeper.observe("w", trial) is None  # it counts once its verdict can be read
    store.append([interaction(f"i{n}", VERDICT if n % 2 else "certified") for n in range(6)])
    store.put_feedback(Feedback(interaction_id="i1", correction="return"))
    follow(store, keeper)
    assert account.trials == 3
    store.put_feedback(Feedback(interaction_id="i1", score=-1.0))
    store.put_feedback(Feedback(interaction_id="i3", score=-1.0))
    again = PromiseKeeper(store, Metrics()).account("w", PROMISE)
    follow(store, keeper)
    assert again.trials == account.trials == 5
    assert again.state() == account.state()


def test_what_was_read_for_another_promise_is_dropped(store: Store) -> None:
    keeper = PromiseKeeper(store, Metrics())
    keeper.account("w", PROMISE)
    store.append([interaction("i", "certified")])
    ((workload, unread),) = keeper.followed().items()
    read_on = [*unread]
    keeper.keep_only({})
    assert keeper.take_in(workload, read_on) is None
    account = keeper.account("w", PromiseSettings(agreement=0.9))
    assert keeper.followed() == {}
    assert keeper.take_in(workload, read_on) is None
    assert account.trials == 0


def follow(store: Store, keeper: PromiseKeeper) -> None:
    """What the gateway does twice a second."""
    for workload, unread in keeper.followed().items():
        snapshot = keeper.take_in(workload, [*unread])
        if snapshot is not None:
            store.keep_promise(workload, snapshot)


def test_whoever_only_looks_begins_nothing(store: Store) -> None:
    """Else a look under a changed file would put an empty account in the place of a proven one."""
    agreement = PromiseSettings(agreement=0.97)
    keeper = PromiseKeeper(store, Metrics())
    keeper.account("w", agreement)
    trial = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
    state = keeper.observe("w", trial)
    assert state is not None
    store.append([make_record("one", workload="w", level=0)], {"w": state})
    before = store.promise_state("w")
    looking = PromiseKeeper(store, Metrics(), begins=False).account("w", PROMISE)
    assert looking.trials == 0
    assert store.promise_state("w") == before
    PromiseKeeper(store, Metrics()).account("w", PROMISE)
    assert store.promise_state("w") != before
