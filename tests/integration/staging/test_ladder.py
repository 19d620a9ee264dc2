"""Who drafts while a candidate is on trial, what the traffic can't power, and the way back."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from distill.trial import put_on_trial
from router.errors import StoreError
from router.promotion import NotPossible, roll_back
from router.record.store import Store
from router.release import Canary, load_release
from router.settings.model import Settings
from router.staging.judge import begin, begin_canary, judge, measure_traffic
from router.staging.stage import Met, Sighting, Stage
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.staging.world import (
    MESSAGES,
    PLAN,
    WORKLOAD,
    World,
    learn,
    open_world,
)

GOOD = learn(MESSAGES[:150])
BETTER = learn(MESSAGES[:250])
CANARY = replace(PLAN, shadow=0)
IDS = [f"int_{i:032x}" for i in range(10_000)]
FINE = Met(failed=False, fault=False, wrong=False, fit=True, took_ms=5.0)


async def two(world: World) -> tuple[str, str]:
    first, second = world.enter(GOOD), world.enter(BETTER)
    await world.put_in_force(first)
    return first, second


async def test_the_draw_is_sticky_grows_and_needs_the_secret(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        digest = world.enter(GOOD)
        row = world.store.release(digest)
        assert row is not None
        release = load_release(Path(row.path))
    few, more, other = (
        Canary(release=release, share=share, salt=salt)
        for share, salt in ((0.05, b"a"), (0.25, b"a"), (0.25, b"b"))
    )
    taken = {one for one in IDS if few.takes(one)}
    assert 400 <= len(taken) <= 600  # 500 ± 4.6 standard errors
    assert {one for one in IDS if few.takes(one)} == taken
    assert taken < {one for one in IDS if more.takes(one)}
    both = sum(more.takes(one) and other.takes(one) for one in IDS)
    assert 530 <= both <= 720  # 625: another secret, another draw


async def test_in_the_shadow_nothing_of_it_is_served(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, second = await two(world)
        await world.put_on_trial(second)
        await world.ask(40)
        assert {one.release for one in world.records()} == {first}
        (row,) = world.store.staged()
        assert row.state == "shadow"


async def test_in_the_canary_each_draft_is_judged_by_its_own_release(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, second = await two(world)
        await world.ask(60)
        await world.put_on_trial(
            second, replace(CANARY, shares=(0.4,), each=400, within_s=36_000.0)
        )
        await world.ask(120)
        newest = world.records()[:120]
        drafted = [one.release for one in newest]
        assert 25 <= drafted.count(second) <= 75  # 48 ± 5 standard errors
        assert drafted.count(first) + drafted.count(second) == 120
        takes = world.deps.releases.choose
        assert all(takes(WORKLOAD, one.id).digest == one.release for one in newest)  # type: ignore[union-attr]


async def test_a_rung_that_the_traffic_cannot_power_is_skipped_and_says_so(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        await two(world)
        await world.ask(30)
        now = time.time()
        plan = replace(PLAN, shares=(0.01, 0.05, 0.25), each=5)
        some = begin_canary(world.store, plan, "f", now, WORKLOAD)
        # Long enough for twice what is needed at a quarter, and so for 2 of 5 at a twentieth.
        within_s = 2 * 5 / 0.25 / measure_traffic(world.store, WORKLOAD, now) * 3600.0
        short = begin_canary(world.store, replace(plan, within_s=within_s), "f", now, WORKLOAD)
        none = begin(world.store, replace(plan, shadow=0, each=500), "f", now + 80_000.0, WORKLOAD)
    assert some.to != "active"
    assert isinstance(short.to, tuple)
    assert Stage.restore(short.to[1]).share == 0.25
    assert "Left out at 1%, 5% of the traffic" in str(short.rungs[0]["sentence"])
    assert none.to == "active"
    assert [(one["name"], one["verdict"]) for one in none.rungs] == [
        ("shadow", "skipped"),
        ("canary", "skipped"),
    ]
    assert "Safety rests on the certificate" in str(none.rungs[1]["sentence"])


async def test_a_stage_without_traffic_ends_all_the_same(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        _, second = await two(world)
        await world.put_on_trial(second)
        (row,) = world.store.staged()
        began = row.report["stage"]["began_at"]
        assert judge(world.store, row, began + 3_600.0) is None
        judged = judge(world.store, row, began + 86_400.0)
    assert judged is not None
    assert judged.to == "active"
    assert "A day brought 0 of 300 comparisons" in str(judged.rungs[0]["sentence"])


async def test_two_workers_take_a_step_once(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        _, second = await two(world)
        await world.put_on_trial(second)
        (row,) = world.store.staged()
        assert world.store.move_stage(row, (), "rejected", "by one")
        assert not world.store.move_stage(row, (), "active", "by the other")
        world.store.fold_stage(second, lambda stage: {**stage, "at_step": 9})
        found = world.store.release(second)
        assert found is not None
        assert (found.state, "stage" in found.report) == ("rejected", False)


async def test_what_is_tried_ends_with_what_it_is_held_against(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        _, second = await two(world)
        await world.put_on_trial(second)
        assert roll_back(world.store, WORKLOAD, "test") is None
        found = world.store.release(second)
        assert found is not None
        assert found.state == "candidate"
        assert world.store.release_events(WORKLOAD)[-2].action == "withdrawn"


def test_a_stage_is_the_same_after_it_was_stored() -> None:
    stage = Stage(kind="canary", plan=PLAN, in_force="f", began_at=1.0)
    for i in range(50):
        met = replace(FINE, wrong=i % 7 == 0, took_ms=float(i))
        ours = i % 3 == 0
        stage.observe(
            Sighting(
                candidate=met if ours else None,
                in_force=None if ours else met,
                seen=i % 2 == 0,
                propensity=0.5,
                floor=0.5,
                share=0.2,
            )
        )
    assert Stage.restore(stage.state()).state() == stage.state()
    assert stage.candidate.drafted + stage.other.drafted == 50


async def test_a_canary_is_rolled_back_within_a_second(tmp_path: Path) -> None:
    known = dict(MESSAGES)
    async with open_world(tmp_path) as world:
        first, second = await two(world)
        await world.ask(60)
        teacher = world.deps.targets["teacher"].base_url
        await world.put_on_trial(
            second, replace(CANARY, shares=(0.9,), each=400, within_s=36_000.0)
        )
        policy = {"name": WORKLOAD, "policy": "student"}
        async with gateway(tmp_path, teacher, workloads=[policy]) as base:

            async def drafted_by() -> str:
                answer = await client(base).chat.completions.with_raw_response.create(
                    model="auto",
                    messages=[{"role": "user", "content": MESSAGES[0][0]}],
                    extra_body={"tutelage": {"workload": WORKLOAD}},
                )
                assert answer.parse().choices[0].message.content in known.values()
                return answer.headers["x-tutelage-release"]

            for _ in range(200):
                if await drafted_by() == second:
                    break
                await asyncio.sleep(0.05)
            else:
                pytest.fail("the canary never drafted")
            store = Store.open(f"sqlite:///{tmp_path}/t.db")
            back = roll_back(store, WORKLOAD, "too bold")
            began_s = time.monotonic()
            assert back is not None
            assert back.digest == first
            last_s = began_s
            while time.monotonic() - began_s < 1.5:
                asked_s = time.monotonic()
                if await drafted_by() == second:
                    last_s = asked_s
                await asyncio.sleep(0.02)
            assert last_s - began_s < 1.0
            found = store.release(second)
            assert found is not None
            assert found.state == "rejected"
            assert store.active_releases() == {WORKLOAD: first}
            store.close()


async def test_a_candidate_is_tried_by_hand(tmp_path: Path) -> None:
    async with open_world(tmp_path) as world:
        first, second = world.enter(GOOD), world.enter(BETTER)
        ladder = {"shadow": 5, "canary": False}
        settings = Settings.model_validate({"learning": {"ladder": ladder}})
        now = time.time()
        with pytest.raises(NotPossible, match="There is no release in force"):
            put_on_trial(settings, world.store, second[:8], 0.95, now)
        await world.put_in_force(first)
        chosen, reason = put_on_trial(settings, world.store, second[:8], 0.95, now)
        assert chosen.digest == second
        assert "5 times at most" in reason
        assert (await world.try_out(second)).state == "active"
        with pytest.raises(StoreError, match="can't be tried"):
            put_on_trial(settings, world.store, second[:8], 0.95, now)
