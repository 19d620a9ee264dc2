"""A known world for a ladder: a free student, a dearer model in between, a teacher who is right.

A request has a difficulty z. Either drafter agrees with the teacher with a chance of its own that
falls in z; two wrong drafts agree with each other one time in five. The student's confidence is its
true chance, as a gate that was fitted on enough would say. Of the other model there are signals: a
noisy view of its log-odds and its length, as log-probabilities would give, and how its draft stands
to the student's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from policies.cascade import STUDENT, CascadePolicy, Ladder, Rung
from policies.promise.certificate import LEVEL_MULTIPLES, Certificate, Terms
from policies.promise.policy import PromisePolicy
from policies.scoring.gate import Gate, risk_curve
from policies.scoring.online import OnlineGate
from policies.scoring.scorers import Logistic
from policies.types import Ask, Evidence, Features, Tier, Trial

Arm = Literal["student", "model", "ladder", "always"]
ARMS: Final[tuple[Arm, ...]] = ("student", "model", "ladder", "always")
"""No model in between; that model alone; both; both, the model asked wherever the student's draft
isn't fit, whatever it costs."""

MODEL: Final = "mid"
_LOOKS_ALIKE = 0.2
_HELD_OUT = 2_000
_PROMISED = int(np.searchsorted(LEVEL_MULTIPLES, 1.0, side="right")) - 1


@dataclass(frozen=True, kw_only=True)
class Mix:
    """``hard``: the share of hard requests; ``student``, ``model``: log-odds of agreeing on a
    request of no difficulty; ``noise``: of the view of the model's log-odds."""

    hard: float
    student: float
    model: float
    noise: float = 1.0


MIXES: Final[Mapping[str, Mix]] = {
    "mostly easy": Mix(hard=0.2, student=3.5, model=5.5),
    "half and half": Mix(hard=0.5, student=3.0, model=5.5),
    "mostly hard": Mix(hard=0.8, student=2.0, model=5.5),
    "no better than the student": Mix(hard=0.5, student=3.0, model=3.0),
    "signals that say little": Mix(hard=0.5, student=3.0, model=5.5, noise=6.0),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request and what would be drafted; the model's draft costs money and is looked at only
    where it is asked for."""

    features: Features
    sure: float
    right: Mapping[str, bool]
    signals: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """Per interaction: ``cost``, in answers of the teacher; ``agreement`` of what was delivered;
    ``asked``, ``drafted``: shares in which the teacher answered and the model drafted; ``oracle``:
    the cost for whoever knows beforehand which drafts agree."""

    cost: float
    agreement: float
    asked: float
    drafted: float
    oracle: float


class Always(Ladder):
    """A ladder whose priced rungs are worth any price."""

    def chance(self, rung: Rung, features: Features, surest: float | None) -> float:
        return 1.0


def draw(mix: Mix, count: int, rng: np.random.Generator) -> list[Request]:
    """Independent requests."""
    z = np.where(rng.random(count) < mix.hard, rng.normal(4.0, 1.5, count), rng.normal(0, 1, count))
    student = mix.student - z + rng.normal(0.0, 1.0, count)
    model = mix.model - z + rng.normal(0.0, 1.0, count)
    right_student = rng.random(count) < 1.0 / (1.0 + np.exp(-student))
    right_model = rng.random(count) < 1.0 / (1.0 + np.exp(-model))
    alike = np.where(
        right_student & right_model,
        True,
        ~right_student & ~right_model & (rng.random(count) < _LOOKS_ALIKE),
    )
    seen = model + rng.normal(0.0, mix.noise, count)
    length = rng.normal(0.0, 1.0, count)
    chars = np.exp(5.0 + 0.3 * z + rng.normal(0.0, 0.5, count)).clip(1, 20_000).astype(int)
    sure = np.clip(1.0 / (1.0 + np.exp(-student)), 1e-4, 1.0 - 1e-4)
    return [
        Request(
            features=Features(
                workload="w",
                student_ready=True,
                prompt_chars=int(chars[i]),
                last_user_chars=int(chars[i]),
            ),
            sure=float(sure[i]),
            right={STUDENT.name: bool(right_student[i]), MODEL: bool(right_model[i])},
            signals={
                "mean_logprob": float(seen[i]),
                "draft_chars": float(length[i]),
                "before_agrees": float(alike[i]),
                "before_sure": math.log(sure[i] / (1.0 - sure[i])),
                "before_sure_agrees": alike[i] * math.log(sure[i] / (1.0 - sure[i])),
            },
        )
        for i in range(count)
    ]


def fit_gate(mix: Mix, rng: np.random.Generator) -> Gate:
    """The student's gate: its confidences are taken as they are."""
    held_out = np.array([one.sure for one in draw(mix, _HELD_OUT, rng)])
    score, over_all, served = risk_curve(held_out, np.ones(len(held_out)))
    return Gate(
        signals=("sure",),
        scorer=Logistic(mean=np.zeros(1), scale=np.ones(1), weights=np.ones(1), bias=0.0),
        curve_score=score,
        curve_all=over_all,
        curve_served=served,
    )


def run(
    mix: Mix,
    arm: Arm,
    *,
    price: float,
    count: int,
    seed: int,
    agreement: float = 0.95,
    believe: float | None = None,
) -> Ran:
    """One stream under a promise. ``price``: of the model's draft, where the teacher's answer costs
    1. ``believe``: a confidence that is taken for all of the model's drafts instead of its gate's.

    The stream and the coins are those of the seed, whatever the arm.
    """
    rng, coins = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    gate = None if arm == "model" else fit_gate(mix, rng)
    requests = draw(mix, count, np.random.default_rng([seed, 2]))
    certificate = Certificate(Terms(agreement=agreement))
    ladder, known = Always() if arm == "always" else Ladder(), OnlineGate()
    rungs = choose_rungs(arm, price)
    cost, wrongly, asked, drafted, oracle = 0.0, 0, 0, 0, 0.0
    for one in requests:
        oracle += _oracle(one, arm, price)
        thresholds = ladder.thresholds(certificate.levels, "all", gate)
        policy = CascadePolicy(
            PromisePolicy(certificate, thresholds, coins.random),
            rungs,
            ladder,
            coins.random,
            bar=float(thresholds[certificate.level() or 0]),
            aim=float(thresholds[_PROMISED]),
            teacher_usd=1.0,
        )
        signals = _signals(one, alone=arm == "model")
        sure = known.confidence(signals) if believe is None else believe
        ask, made = _climb(policy, one, {STUDENT.name: one.sure, MODEL: sure}, arm)
        cost += price * (MODEL in made)
        drafted += MODEL in made
        seen = ask.tier is Tier.TEACHER
        cost, asked = cost + seen, asked + seen
        wrong = bool(made) and not one.right[ask.rung or made[0]]
        wrongly += wrong and not seen
        if ask.level is not None:
            certificate.observe(trial_of(ask, wrong))
        if seen and MODEL in made and believe is None:
            known.observe(signals, one.right[MODEL], ask.propensity)
    return Ran(
        cost=cost / count,
        agreement=1.0 - wrongly / count,
        asked=asked / count,
        drafted=drafted / count,
        oracle=oracle / count,
    )


def choose_rungs(arm: Arm, price: float) -> Sequence[Rung]:
    """Who may draft."""
    model = Rung(name=MODEL, tier=Tier.STUDENT, cost_usd=price, fixed=True)
    return {"student": (STUDENT,), "model": (model,)}.get(arm, (STUDENT, model))


def trial_of(ask: Ask, wrong: bool) -> Trial:
    """What the certificate is told of an interaction, as the gateway tells it."""
    served = ask.tier is not Tier.TEACHER
    return Trial(
        level=ask.level or 0,
        seen=not served,
        wrong=wrong,
        propensity=ask.floor if served else ask.propensity,
        floor=ask.floor,
        served=served,
    )


def _climb(
    policy: CascadePolicy, one: Request, sure: Mapping[str, float | None], arm: Arm
) -> tuple[Ask, list[str]]:
    """The committing ask, and who drafted."""
    features = one.features if arm != "model" else replace(one.features, student_ready=False)
    flow, made = policy.flow(features), list[str]()
    ask = next(flow)
    while not ask.commit:
        name = ask.rung or STUDENT.name
        made.append(name)
        ask = flow.send(Evidence(available=True, confidence=sure[name]))
    return ask, made


def _signals(one: Request, *, alone: bool) -> Mapping[str, float]:
    if not alone:
        return one.signals
    return {name: value for name, value in one.signals.items() if not name.startswith("before")}


def _oracle(one: Request, arm: Arm, price: float) -> float:
    if arm != "model" and one.right[STUDENT.name]:
        return 0.0
    return price if arm != "student" and one.right[MODEL] else 1.0
