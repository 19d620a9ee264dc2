"""Bad releases, and which rung catches each: what the store says of it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import distill.launch.embedded
from distill.cycle import run_cycle
from distill.learner import Learner
from distill.train.kernel_head import Examples, Trained, train
from router.record.redact import Redactor
from router.record.store import Store
from router.staging.stage import Plan
from router.students.embedded import EmbeddedStudent
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop, interactions
from tests.integration.staging.world import (
    ENCODER,
    MESSAGES,
    PLAN,
    SURE,
    WORKLOAD,
    World,
    as_json,
    forget,
    learn,
    open_world,
    shift_answers,
)
from tests.unit.distill.learning_rows import allow

GOOD = learn(MESSAGES[:200])
BETTER = learn(MESSAGES[:400])
pytestmark = pytest.mark.long

CANARY = replace(PLAN, shadow=0)
LONG_CANARY = replace(PLAN, shadow=0, shares=(0.4,), each=300)
"""What is served wrongly is seen three times in ten: that takes longer to show."""

DISAGREES = {"agreement", "served_disagreement"}
"""A coin says which of the two a canary of permuted labels shows first."""


def permuted(trained: Trained) -> dict[str, Any]:
    assert isinstance(trained.student, EmbeddedStudent)
    return {"student": shift_answers(trained.student)}


def rung_of(world: World, digest: str, name: str) -> dict[str, Any]:
    found = world.store.release(digest)
    assert found is not None
    (rung,) = [one for one in found.report["rungs"] if one["name"] == name]
    return dict(rung)


@pytest.mark.parametrize("plan", [PLAN, CANARY], ids=["shadow", "canary"])
async def test_a_good_release_goes_all_the_way(tmp_path: Path, plan: Plan) -> None:
    async with open_world(tmp_path) as world:
        first, second = world.enter(GOOD), world.enter(BETTER)
        await world.put_in_force(first)
        await world.ask(100)  # what the canary's shares are chosen by
        await world.put_on_trial(second, plan)
        ended = await world.try_out(second)
        assert ended.state == "active", ended.report
        assert world.store.active_releases() == {WORKLOAD: second}
        verdicts = {rung["name"]: rung["verdict"] for rung in ended.report["rungs"]}
        assert verdicts["canary"] in ("passed", "skipped")
        assert "failed" not in verdicts.values()


@pytest.mark.parametrize(
    ("plan", "sabotage", "rung", "signals"),
    [
        pytest.param(PLAN, permuted, "shadow", {"agreement"}, id="permuted-in-the-shadow"),
        pytest.param(CANARY, permuted, "canary", DISAGREES, id="permuted-in-the-canary"),
        pytest.param(
            LONG_CANARY,
            lambda _: {"gate": SURE},
            "canary",
            {"served_disagreement"},
            id="overconfident",
        ),
    ],
)
async def test_what_is_wrong_is_taken_back(
    tmp_path: Path,
    plan: Plan,
    sabotage: Callable[[Trained], dict[str, Any]],
    rung: str,
    signals: set[str],
) -> None:
    async with open_world(tmp_path) as world:
        first, bad = world.enter(GOOD), world.enter(GOOD, **sabotage(GOOD))
        await world.put_in_force(first)
        await world.ask(100)
        await world.put_on_trial(bad, plan)
        ended = await world.try_out(bad)
        told = rung_of(world, bad, rung)
        assert (ended.state, told["verdict"]) == ("rejected", "failed")
        assert told["signal"] in signals
        assert told["low"] < told["high"]
        last = world.store.release_events(WORKLOAD)[-1]
        assert (last.digest, last.action, last.reason) == (bad, "rejected", told["sentence"])
        # What was in force still is, and drafts for everybody again.
        assert world.store.active_releases() == {WORKLOAD: first}
        assert all(
            world.deps.releases.choose(WORKLOAD, f"int_{i}") is world.deps.releases.get(WORKLOAD)
            for i in range(100)
        )


async def test_one_that_breaks_json_is_caught_by_its_form(tmp_path: Path) -> None:
    good = learn(MESSAGES[:200], as_json)
    broken = learn(MESSAGES[:200], lambda label: as_json(label)[:-1])
    async with open_world(tmp_path, as_json, policy="threshold", threshold=0.8) as world:
        first, bad = world.enter(good), world.enter(broken)
        await world.put_in_force(first)
        await world.put_on_trial(bad)
        ended = await world.try_out(bad)
        told = rung_of(world, bad, "shadow")
        assert (ended.state, told["signal"]) == ("rejected", "format")
        assert told["candidate"]["faults"] == told["candidate"]["drafted"]
        assert told["in_force"]["faults"] == 0


@pytest.mark.parametrize("how", ["slow", "dead"])
async def test_one_that_is_slow_or_fails_is_caught_as_such(tmp_path: Path, how: str) -> None:
    async with open_world(tmp_path) as world:
        first, bad = world.enter(GOOD), world.enter(BETTER)
        setattr(world.drafter, how, bad)
        await world.put_in_force(first)
        await world.ask(100)
        await world.put_on_trial(bad, CANARY)
        ended = await world.try_out(bad)
        told = rung_of(world, bad, "canary")
        signal = {"slow": "latency", "dead": "errors"}[how]
        assert (ended.state, told["signal"]) == ("rejected", signal)
        assert "more often" in told["sentence"]


def sabotage_training(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Trained, Examples], Trained]
) -> None:
    """What comes out of training is changed behind the loop's back."""

    def spoil(examples: Examples, *, seed: int) -> Trained:
        return change(train(examples, seed=seed), examples)

    monkeypatch.setattr(distill.launch.embedded, "train", spoil)


def permute(trained: Trained, examples: Examples) -> Trained:
    count = len(examples.answers)
    student = trained.student
    assert isinstance(student, EmbeddedStudent)
    return replace(trained, student=shift_answers(student), held_out=(trained.held_out + 1) % count)


def make_sure(trained: Trained, examples: Examples) -> Trained:
    return replace(trained, gate=SURE, confidence=np.full(len(trained.confidence), 0.993))


def make_forget(trained: Trained, examples: Examples, label: str) -> Trained:
    assert isinstance(trained.student, EmbeddedStudent)
    return replace(trained, student=forget(trained.student, label))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = Shop(folder=tmp_path).open()
    yield opened
    opened.close()


REQUEST: dict[str, Any] = {"model": "auto"}
LEARNED = make_messages(500, seed=1, hard=0.15)


@pytest.mark.parametrize(
    ("change", "rung", "said"),
    [
        pytest.param(permute, "agreement", "Worse", id="permuted"),
        pytest.param(make_sure, "calibration", "surer than it is right", id="overconfident"),
        pytest.param(
            partial(make_forget, label="refund"), "forgetting", "answer refund", id="forgot-a-part"
        ),
        pytest.param(
            partial(make_forget, label="warranty"),
            "forgetting",
            "slice repairs",
            id="forgot-a-slice",
        ),
    ],
)
def test_what_training_spoils_never_reaches_traffic(
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Trained, Examples], Trained],
    rung: str,
    said: str,
) -> None:
    slices = [{"name": "repairs", "match": "*warranty*"}]
    settings = allow("teacher", workloads=[{"name": WORKLOAD, "slices": slices}])
    learner = Learner(
        settings=settings,
        store=store,
        encoder=ENCODER,
        redactor=Redactor(()),
        folder=tmp_path / "t-releases",
    )
    store.append(list(interactions(LEARNED[:150], "i")))
    assert run_cycle(learner, WORKLOAD).result == "promoted"
    digest = store.active_releases()[WORKLOAD]
    # The release drafts well from now on, and the teacher is always asked.
    drafted = {"release": digest, "confidence": 0.97, "draft_agreed": True, "seen": True}
    store.append(
        [
            replace(one, request=REQUEST | {"messages": [{"role": "user", "content": text}]})
            for one, (text, _) in zip(
                interactions(LEARNED[150:], "j", **drafted), LEARNED[150:], strict=True
            )
        ]
    )
    sabotage_training(monkeypatch, change)
    outcome = run_cycle(learner, WORKLOAD)
    assert outcome.result == "rejected", outcome.detail["rungs"]
    assert outcome.release is not None
    found = store.release(outcome.release.digest)
    assert found is not None
    failed = [one for one in found.report["rungs"] if one["verdict"] == "failed"]
    assert rung in [one["name"] for one in failed]
    (told,) = [one for one in failed if one["name"] == rung]
    assert said in told["sentence"]
    assert store.active_releases() == {WORKLOAD: digest}
    assert not {"shadow", "canary"} & {one["name"] for one in found.report["rungs"]}
