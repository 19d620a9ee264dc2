"""The ladder of drafts: order, skips, and one decision about the surest draft."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from decimal import Decimal
from itertools import permutations

import numpy as np
import pytest

from policies.base import Coin, Policy
from policies.budget import BudgetPolicy
from policies.cascade import RECALL, STUDENT, CascadePolicy, Ladder, Rung, Skip
from policies.checks import check_policy
from policies.promise.certificate import Over
from policies.promise.guarantee import GuaranteePolicy
from policies.promise.policy import PromisePolicy
from policies.scoring.difficulty import Difficulty
from policies.scoring.gate import Gate
from policies.scoring.scorers import Logistic
from policies.static import StudentPolicy
from policies.threshold import ThresholdPolicy
from policies.types import Ask, Evidence, Features, Tier
from tests.unit.policies.test_policies import ACCEPTED, EARNED, FILLED, THRESHOLDS, UNPROVEN, sure

BOTH = Features(workload="w", student_ready=True, recall_ready=True)
DEAR = Rung(name="big-student", tier=Tier.STUDENT, cost_usd=0.002)
FIXED = Rung(name="mid", tier=Tier.STUDENT, cost_usd=0.001, fixed=True)
TEACHER_USD = 0.01


def never() -> float:
    return 1.0 - 2**-53


def cascade(
    inner: Policy,
    *,
    rungs: Sequence[Rung] = (RECALL, STUDENT),
    ladder: Ladder | None = None,
    coin: Coin = never,
    bar: float = 0.8,
    teacher_usd: float | None = TEACHER_USD,
) -> CascadePolicy:
    return CascadePolicy(inner, rungs, ladder or Ladder(), coin, bar=bar, teacher_usd=teacher_usd)


def drive(policy: Policy, drafts: dict[str, Evidence], features: Features = BOTH) -> list[Ask]:
    """The asks; each draft is answered by the evidence of its rung."""
    flow, asks = policy.flow(features), []
    try:
        ask = next(flow)
        while True:
            asks.append(ask)
            drafted = not ask.commit and not ask.background
            ask = flow.send(drafts[ask.rung or ""] if drafted else Evidence(available=True))
    except StopIteration:
        return asks


def told(asks: Sequence[Ask]) -> list[tuple[str, str, bool]]:
    return [(ask.rung or "", str(ask.tier), ask.commit) for ask in asks]


@pytest.mark.parametrize(
    "make",
    [
        lambda coin: StudentPolicy(coin, 0.1),
        lambda coin: ThresholdPolicy(coin, 0.8, 0.1),
        lambda coin: GuaranteePolicy(deepcopy(EARNED), coin),
        lambda coin: BudgetPolicy(deepcopy(FILLED), Decimal("0.01"), coin),
        lambda coin: PromisePolicy(UNPROVEN, THRESHOLDS, coin, 0.1),
        lambda coin: PromisePolicy(ACCEPTED, THRESHOLDS, coin, 0.1),
    ],
)
def test_every_policy_keeps_the_contract_over_a_ladder(make: Callable[[Coin], Policy]) -> None:
    rungs = (RECALL, STUDENT, DEAR)
    check_policy(lambda coin: cascade(make(coin), rungs=rungs, coin=coin))


@pytest.mark.parametrize("rungs", [(RECALL,), (RECALL, STUDENT), (DEAR,), (STUDENT, FIXED)])
def test_every_ladder_keeps_the_contract(rungs: Sequence[Rung]) -> None:
    check_policy(lambda coin: cascade(ThresholdPolicy(coin, 0.8, 0.1), rungs=rungs, coin=coin))


def test_what_is_recalled_and_fit_is_served_without_a_draft_that_is_hardly_ever_surer() -> None:
    ladder = Ladder()
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0), ladder=ladder)
    drafts = {"recall": sure(0.9), "student": sure(0.85)}
    for _ in range(20):
        assert told(drive(policy, drafts))[1] == ("student", "student", False)
    assert told(drive(policy, drafts)) == [("recall", "recall", False), ("recall", "recall", True)]
    tried = cascade(ThresholdPolicy(never, 0.8, 0.0), ladder=ladder, coin=lambda: 0.0)
    for _ in range(3):
        assert told(drive(tried, drafts | {"student": sure(0.95)}))[-1][0] == "student"
    assert told(drive(policy, drafts))[1] == ("student", "student", False)


def test_no_priced_draft_is_made_beside_a_fit_one() -> None:
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=[RECALL, DEAR], coin=lambda: 0.0)
    assert told(drive(policy, {"recall": sure(0.9)}))[-1] == ("recall", "recall", True)


def test_of_two_drafts_the_surest_is_decided_about() -> None:
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0))
    asks = drive(policy, {"recall": sure(0.7), "student": sure(0.9)})
    assert told(asks)[1:] == [("student", "student", False), ("student", "student", True)]
    asks = drive(policy, {"recall": sure(0.7), "student": sure(0.6)})
    assert told(asks)[-1] == ("recall", "teacher", True)
    assert asks[-1].reason == "below_threshold"


def test_a_check_by_chance_stands_against_the_draft_that_was_to_be_served() -> None:
    policy = cascade(PromisePolicy(ACCEPTED, THRESHOLDS, lambda: 0.0, 0.1))
    *_, check = drive(policy, {"recall": sure(0.97), "student": sure(0.9)})
    assert (check.tier, check.rung, check.reason) == (Tier.TEACHER, "recall", "proof")
    assert (check.propensity, check.level) == (0.1, 0)


def test_nothing_to_recall_is_no_failure_of_a_student() -> None:
    alone = BOTH.__class__(workload="w", recall_ready=True)
    nothing = {"recall": Evidence(available=False)}
    asks = drive(cascade(ThresholdPolicy(never, 0.8, 0.0)), nothing, alone)
    assert [ask.reason for ask in asks] == ["recall", "no_release"]


def test_a_student_that_fails_keeps_its_name_unless_something_else_can_be_judged() -> None:
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0))
    down = Evidence(available=False)
    assert drive(policy, {"recall": down, "student": down})[-1].reason == "student_unavailable"
    asks = drive(policy, {"recall": sure(0.7), "student": down})
    assert (asks[-1].reason, asks[-1].rung) == ("below_threshold", "recall")


def test_a_priced_draft_is_made_where_it_is_likely_to_save_more_than_it_costs() -> None:
    ladder = Ladder()
    easy = Features(workload="w", student_ready=True, prompt_chars=40, last_user_chars=40)
    hard = Features(workload="w", student_ready=True, prompt_chars=9_000, last_user_chars=9_000)
    for _ in range(60):
        ladder.observe(DEAR, easy, None, True)
        ladder.observe(DEAR, hard, None, False)
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=[DEAR], ladder=ladder)
    drafts = {DEAR.name: sure(0.9)}
    assert told(drive(policy, drafts, easy))[0] == (DEAR.name, "student", False)
    assert drive(policy, drafts, hard)[0].tier is Tier.TEACHER
    # Now and then it is tried all the same.
    lucky = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=[DEAR], ladder=ladder, coin=lambda: 0.0)
    assert told(drive(lucky, drafts, hard))[0] == (DEAR.name, "student", False)


def test_without_the_teachers_price_every_draft_is_worth_its_own() -> None:
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=[DEAR], teacher_usd=None)
    assert told(drive(policy, {DEAR.name: sure(0.1)}))[0] == (DEAR.name, "student", False)


def test_rungs_are_asked_by_price_for_a_fit_draft() -> None:
    """Of two priced ones the likelier may come first, though its price is higher."""
    often = Rung(name="often", tier=Tier.STUDENT, cost_usd=0.003)
    seldom = Rung(name="seldom", tier=Tier.STUDENT, cost_usd=0.002)
    ladder = Ladder()
    for _ in range(60):
        ladder.observe(often, BOTH, None, True)
        for fit in (True, False, False):
            ladder.observe(seldom, BOTH, None, fit)
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=[seldom, often], ladder=ladder)
    assert told(drive(policy, {"often": sure(0.9), "seldom": sure(0.9)}))[0][0] == "often"


def test_the_order_costs_no_more_than_any_other() -> None:
    """Against all subsets and orders of three rungs with independent chances."""
    draw = random.Random(3)
    for _ in range(200):
        rungs = [
            Rung(name=name, tier=Tier.STUDENT, cost_usd=draw.uniform(0.0001, 0.01))
            for name in ("a", "b", "c")
        ]
        known = Known({rung.name: draw.uniform(0.05, 1.0) for rung in rungs})

        def cost(order: Sequence[Rung], known: Known = known) -> float:
            left, spent = 1.0, 0.0
            for rung in order:
                spent += left * rung.cost_usd
                left *= 1.0 - known.chances[rung.name]
            return spent + left * TEACHER_USD

        policy = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=rungs, ladder=known)
        asks = drive(policy, dict.fromkeys(known.chances, sure(0.1)))
        by_name = {rung.name: rung for rung in rungs}
        chosen = [by_name[ask.rung or ""] for ask in asks if not ask.commit]
        best = min(cost(o) for k in range(4) for o in permutations(rungs, k))
        assert cost(chosen) == pytest.approx(best)


class Known(Ladder):
    """Chances that don't depend on anything."""

    def __init__(self, chances: dict[str, float]) -> None:
        super().__init__()
        self.chances = chances

    def chance(self, rung: Rung, features: Features, surest: float | None) -> float:
        return self.chances[rung.name]


def gate() -> Gate:
    score = np.linspace(0.99, 0.01, 99)
    wrong = np.cumsum(1.0 - score) / 99
    served = np.cumsum(1.0 - score) / np.arange(1, 100)
    return Gate(
        signals=("top",),
        scorer=Logistic(mean=np.zeros(1), scale=np.ones(1), weights=np.ones(1), bias=0.0),
        curve_score=score,
        curve_all=wrong,
        curve_served=served,
    )


LEVELS = np.array([0.005, 0.021, 0.05, 0.1])


@pytest.mark.parametrize("over", ["all", "served"])
def test_without_recalled_answers_the_thresholds_are_the_gates(over: Over) -> None:
    ladder = Ladder()
    ladder.note(STUDENT, 0.9)
    expected = gate().thresholds(LEVELS, over)
    assert ladder.thresholds(LEVELS, over, gate()).tolist() == expected.tolist()
    assert ladder.thresholds(LEVELS, over, None).tolist() == [math.inf] * 4


def test_recalled_answers_add_their_risk_to_the_students() -> None:
    ladder = Ladder()
    for _ in range(50):
        ladder.note(RECALL, 0.96)
        ladder.note(STUDENT, 0.5)
    both = ladder.thresholds(LEVELS, "all", gate())
    alone = gate().thresholds(LEVELS, "all")
    # Half of the drafts at a doubt of 4 %: two points of risk from a score of 0.96 down.
    assert both[0] > 0.96
    assert (both >= alone).all()
    assert (both[1:] > alone[1:]).any()
    assert (np.diff(both) <= 0.0).all()
    # Without a student they stand alone.
    assert ladder.thresholds(LEVELS, "all", None).tolist() == [math.inf, 0.96, 0.96, 0.96]
    assert ladder.thresholds(LEVELS, "served", None).tolist() == [math.inf, math.inf, 0.96, 0.96]


def test_a_fixed_models_draft_adds_its_risk_only_where_the_students_would_not_be_served() -> None:
    """A student at .9 that the model's .96 took the place of, in half of the interactions."""
    ladder = Ladder()
    for _ in range(50):
        ladder.note(FIXED, 0.96, 0.9)
        ladder.note(STUDENT, 0.5)
    both = ladder.thresholds(LEVELS, "all", gate())
    alone = gate().thresholds(LEVELS, "all")
    # Between .9 and .96 two points more than the student's, from .9 down what the student's are.
    assert both[1] == pytest.approx(0.97)
    assert alone[1] < 0.9
    assert both[2] == alone[2] < 0.9
    assert both[3] == alone[3]
    # Without a student they stand alone, like recalled answers.
    assert ladder.thresholds(LEVELS, "all", None).tolist() == [math.inf, 0.96, 0.96, 0.96]


def test_a_fixed_model_drafts_without_a_release() -> None:
    alone = Features(workload="w", student_ready=False)
    policy = cascade(ThresholdPolicy(never, 0.8, 0.0), rungs=[RECALL, STUDENT, FIXED])
    asks = drive(policy, {"mid": sure(0.9)}, alone)
    assert told(asks) == [("mid", "student", False), ("mid", "student", True)]
    failed = drive(policy, {"mid": Evidence(available=False)}, alone)
    assert failed[-1].reason == "student_unavailable"


def test_what_is_not_asked_says_why() -> None:
    ladder, skipped = Ladder(), dict[str, Skip]()
    for _ in range(60):
        ladder.observe(DEAR, BOTH, None, False)

    def climb(student: float) -> dict[str, Skip]:
        skipped.clear()
        policy = CascadePolicy(
            ThresholdPolicy(never, 0.8, 0.0),
            [STUDENT, DEAR],
            ladder,
            never,
            bar=0.8,
            teacher_usd=TEACHER_USD,
            skipped=skipped,
        )
        drive(policy, {"student": sure(student)})
        return skipped

    assert climb(0.9) == {DEAR.name: "fit"}
    assert climb(0.2) == {DEAR.name: "dear"}


def test_a_priced_draft_is_worth_what_it_would_be_fit_for_once_more_is_proven() -> None:
    """All its drafts stand between the aim and the bar, as at the strictest level."""
    easy = Features(workload="w", student_ready=True)
    drafts = {DEAR.name: sure(0.9)}

    def asked(aim: float | None) -> int:
        ladder = Ladder()
        policy = CascadePolicy(
            ThresholdPolicy(never, 0.95, 0.0),
            [DEAR],
            ladder,
            never,
            bar=0.95,
            teacher_usd=TEACHER_USD,
            aim=aim,
        )
        return sum(drive(policy, drafts, easy)[0].rung == DEAR.name for _ in range(100))

    assert asked(0.85) == 100
    assert asked(None) < 30


def test_difficulty_is_learned_from_sizes_and_from_the_draft_before() -> None:
    known = Difficulty()
    draw = random.Random(1)
    short, long = (Features(workload="w", prompt_chars=n, last_user_chars=n) for n in (30, 8_000))
    assert known.chance(short, None) == 0.5
    for _ in range(300):
        known.observe(short, None, draw.random() < 0.9)
        known.observe(long, 0.2, draw.random() < 0.1)
    assert known.chance(short, None) > 0.75 > 0.25 > known.chance(long, 0.2)
    again = Difficulty.restore(known.state())
    assert again.chance(long, 0.2) == known.chance(long, 0.2)
    with pytest.raises(ValueError, match="shape"):
        Difficulty.restore({"weights": [0.0], "squares": [1.0]})
