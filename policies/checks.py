"""The contract that every policy must keep, as one function to call in a test."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from policies.base import Coin, Policy
from policies.types import Ask, Evidence, Features, Tier

_MOST_ASKS = 8
_SEED = 20260701

Steps = list[tuple[Ask, Evidence]]


def check_policy(make: Callable[[Coin], Policy]) -> None:
    """Drive the flows of ``make(coin)`` over many requests, drafts and coins.

    ``make`` is called once per flow and must give a policy in the same state each time. Raises
    AssertionError with the clause that was broken and the asks that broke it.
    """
    for (features, recalled), draft, coin in itertools.product(_requests(), _drafts(), _coins()):
        steps = _drive(make(coin()), features, draft, recalled)
        told = f"{features}, {draft}, recalled {recalled}: {[ask for ask, _ in steps]}"
        _check_commit(steps, told)
        _check_propensities(steps, told)
        _check_drafts(steps, features, told)
        again = _drive(make(coin()), features, draft, recalled)
        assert steps == again, f"the same coins must lead to the same asks, in {told}"


def _drive(policy: Policy, features: Features, draft: Evidence, recalled: Evidence) -> Steps:
    steps: Steps = []
    flow = policy.flow(features)
    try:
        ask = next(flow)
        while True:
            evidence = _answer(ask, features, draft, recalled)
            steps.append((ask, evidence))
            assert len(steps) <= _MOST_ASKS, (
                f"a flow must end after at most {_MOST_ASKS} asks, in {features}, {draft}"
            )
            ask = flow.send(evidence)
    except StopIteration:
        return steps


def _answer(ask: Ask, features: Features, draft: Evidence, recalled: Evidence) -> Evidence:
    if ask.tier is Tier.TEACHER:
        return Evidence(available=True)
    if ask.tier is Tier.RECALL:
        return recalled if features.recall_ready else Evidence(available=False)
    return draft if features.student_ready else Evidence(available=False)


def _check_commit(steps: Steps, told: str) -> None:
    commits = [i for i, (ask, _) in enumerate(steps) if ask.commit]
    assert len(commits) == 1, f"exactly one ask must commit, not {len(commits)}, in {told}"
    assert not steps[commits[0]][0].background, f"the commit must be a foreground ask, in {told}"
    for ask, _ in steps[: commits[0]]:
        assert not ask.background, f"no background ask may come before the commit, in {told}"
    for ask, _ in steps[commits[0] + 1 :]:
        assert ask.background, f"no foreground ask may follow the commit, in {told}"


def _check_propensities(steps: Steps, told: str) -> None:
    for ask, _ in steps:
        assert 0.0 < ask.propensity <= 1.0, f"propensities must lie in (0, 1], in {told}"
        assert 0.0 < ask.floor <= 1.0, f"floors must lie in (0, 1], in {told}"
        # Background asks carry no floor of their own: the committing ask states it.
        if ask.tier is Tier.TEACHER and not ask.background:
            assert ask.floor <= ask.propensity, (
                f"a teacher ask's floor must not exceed its propensity, in {told}"
            )


def _check_drafts(steps: Steps, features: Features, told: str) -> None:
    committed = next(ask for ask, _ in steps if ask.commit)
    if not features.cascadable:
        first = steps[0][0]
        at_once = first.tier is Tier.TEACHER and first.commit
        assert at_once, f"what isn't cascadable must go to the teacher at once, in {told}"
    drafts = [(ask, e) for ask, e in steps if ask.tier is not Tier.TEACHER and not ask.commit]
    made = [(ask.tier, ask.rung) for ask, _ in drafts]
    assert len(made) == len(set(made)), f"no draft may be asked for twice, in {told}"
    if committed.tier is not Tier.TEACHER:
        _check_served(committed, drafts, told)
    if any(e.available and e.confidence is not None for _, e in drafts):
        return
    escalated = not drafts or committed.tier is Tier.TEACHER
    assert escalated, f"missing evidence must escalate, in {told}"
    students = [e for ask, e in drafts if ask.tier is Tier.STUDENT]
    if students and not any(e.available for _, e in drafts):
        told_apart = committed.reason == "student_unavailable"
        assert told_apart, f"an unavailable student must escalate under its own name, in {told}"


def _check_served(committed: Ask, drafts: Steps, told: str) -> None:
    """What is delivered is the draft of that tier and rung; without a rung, the tier's last."""
    own = [
        e for ask, e in drafts if ask.tier is committed.tier and committed.rung in (None, ask.rung)
    ]
    usable = bool(own) and own[-1].available and own[-1].confidence is not None
    assert usable, f"a {committed.tier} must not be committed without a usable draft, in {told}"


def _requests() -> Iterator[tuple[Features, Evidence]]:
    """Each with what there is to recall."""
    for features in _features():
        yield features, Evidence(available=False)
        if features.turns == 1 and not features.has_tools and not features.stream:
            for recalled in _RECALLED:
                yield replace(features, recall_ready=True), recalled


_RECALLED = (
    Evidence(available=False),
    Evidence(available=True, confidence=0.4),
    Evidence(available=True, confidence=0.999),
)


def _features() -> Iterator[Features]:
    flags = (False, True)
    for ready, cascadable, tools, stream in itertools.product(flags, repeat=4):
        for turns, chars in ((1, 0), (40, 200_000)):
            yield Features(
                workload="w",
                turns=turns,
                prompt_chars=chars,
                last_user_chars=chars,
                has_tools=tools,
                wants_json=not tools,
                stream=stream,
                student_ready=ready,
                cascadable=cascadable,
            )


def _drafts() -> Iterator[Evidence]:
    yield Evidence(available=False)
    yield Evidence(available=False, confidence=1.0)
    yield Evidence(available=True)
    yield Evidence(available=True, signals={"margin": 1.0, "nearest": 1.0})
    for confidence in (0.0, 1e-12, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0):
        yield Evidence(available=True, confidence=confidence)


def _coins() -> Iterator[Callable[[], Coin]]:
    """Each item makes the same sequence of numbers afresh."""
    yield lambda: lambda: 0.0
    yield lambda: lambda: 0.5
    yield lambda: lambda: 1.0 - 2**-53
    yield lambda: random.Random(_SEED).random
