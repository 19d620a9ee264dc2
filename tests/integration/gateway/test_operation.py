"""What an operator relies on: restarts, shutdowns, metrics, a store that fails, what is charged."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from starlette.testclient import TestClient

import router.following
from policies.types import Trial
from router.app import create_app
from router.errors import StoreError
from router.pipeline import run
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.load import load_settings
from router.testing import ErrorAnswer, FakeUpstream, Hang
from router.wire.openai import parse_chat
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway
from tests.integration.gateway.test_leaving import CALLER, built, encode, make_app, settled
from tests.integration.gateway.test_student import promote, workload

PARCEL: list[Any] = [{"role": "user", "content": "where is my parcel"}]


async def test_a_restarted_gateway_has_its_releases_before_its_first_request(
    tmp_path: Path,
) -> None:
    promote(tmp_path)
    async with FakeUpstream("parcel") as up:
        policy = workload(policy="student", audit={"max_share": 0.0})
        async with built(make_app(tmp_path, up.base_url, **policy)) as deps:
            delivery = await run(deps, parse_chat(encode()), CALLER)
            await delivery.aclose()
    assert delivery.headers["x-tutelage-tier"] == "student"


async def test_the_metrics_tell_what_serves_and_what_is_promised(tmp_path: Path) -> None:
    promote(tmp_path)
    async with (
        FakeUpstream("parcel") as up,
        gateway(tmp_path, up.base_url, **workload(promise={"agreement": 0.95})) as base,
        httpx.AsyncClient() as http,
    ):
        text = (await http.get(f"{base}/metrics")).text
    digest = Store.open(f"sqlite:///{tmp_path}/t.db").active_releases()["shop"][:12]
    told = f'student="embedded@{digest}",workload="shop"'
    assert f'tutelage_release_info{{policy="promise",{told}}} 1.0' in text
    assert 'tutelage_promise{workload="shop"} 0.95' in text
    assert 'tutelage_agreement_lower_bound{workload="shop"} 1.0' in text


def test_each_tenant_has_a_promise_of_its_own_from_the_start(tmp_path: Path) -> None:
    keys = [{"name": name, "key_env": f"{name}_KEY"} for name in ("ONE", "TWO")]
    teacher = {"upstream": "http://127.0.0.1:9/v1", "model": "m"}
    config = tmp_path / "tutelage.yaml"
    document = {
        "models": {"teacher": teacher},
        "keys": keys,
        **workload(promise={"agreement": 0.9}),
    }
    config.write_text(json.dumps(document))
    settings = load_settings(config, {"ONE_KEY": "sk-1", "TWO_KEY": "sk-2"})
    with TestClient(create_app(settings, Store.open(":memory:"))) as http:
        text = http.get("/metrics", headers={"x-api-key": "sk-1"}).text
    for name in ("ONE", "TWO"):
        assert f'tutelage_promise{{workload="shop@{name}"}} 0.9' in text


async def test_the_follower_outlives_whatever_it_meets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower that died would be met again at the end, before the records were written."""
    tries = []

    def fail(self: ActiveReleases) -> None:
        tries.append(1)
        raise RuntimeError("not foreseen")

    monkeypatch.setattr(ActiveReleases, "look", fail)
    monkeypatch.setattr(router.following, "_FOLLOW_S", 0.01)
    async with FakeUpstream("x") as up, built(make_app(tmp_path, up.base_url)) as deps:
        async with asyncio.timeout(10):
            while len(tries) < 3:  # noqa: ASYNC110 - another thread tries
                await asyncio.sleep(0.01)
        delivery = await run(deps, parse_chat(encode()), CALLER)
        await delivery.aclose()
    assert len(await settled(tmp_path)) == 1


async def test_an_audit_that_hangs_at_the_end_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promote(tmp_path)
    monkeypatch.setattr(router.app, "_DRAIN_S", 0.2)
    policy = workload(policy="student", audit={"max_share": 1.0})
    async with FakeUpstream("parcel", always=Hang()) as up:
        async with built(make_app(tmp_path, up.base_url, **policy)) as deps:
            delivery = await run(deps, parse_chat(encode()), CALLER)
            await delivery.aclose()
            await up.wait_for_request()
        assert not deps.background
        (row,) = await settled(tmp_path)
    assert (row.tier, row.status, row.seen, row.cost_usd) == ("student", "ok", False, None)


async def test_a_store_that_fails_is_no_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Store, interaction_id: str) -> None:
        raise StoreError("the store t.db is damaged")

    monkeypatch.setattr(Store, "interaction", fail)
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient() as http,
    ):
        answer = await http.get(f"{base}/v1/interactions/int_1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["code"] == "store_failed"


async def test_usage_is_told_where_the_upstream_tells_none(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival", usage=None) as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient() as http,
    ):
        body = {"model": "auto", "messages": MESSAGES, "stream": True}
        with_usage = {**body, "stream_options": {"include_usage": True}}
        told = await http.post(f"{base}/v1/chat/completions", json=with_usage)
        plain = await http.post(f"{base}/v1/chat/completions", json=body)
    *_, last, done = told.text.strip().split("\n\n")
    assert done == "data: [DONE]"
    chunk = json.loads(last.removeprefix("data: "))
    assert (chunk["choices"], chunk["usage"], chunk["tutelage"]["cost_usd"]) == ([], None, None)
    assert (chunk["object"], chunk["model"]) == ("chat.completion.chunk", "big-70b")
    assert "tutelage" not in plain.text
    assert all(json.loads(e[6:])["choices"] for e in plain.text.split("\n\n") if "{" in e)


async def test_no_answer_costs_no_price_per_request(tmp_path: Path) -> None:
    promote(tmp_path)
    price = {"usd_per_request": 0.01}
    teacher = {"model": "m", "retries": 0, "price": price}
    policy = workload(policy="student", audit={"max_share": 1.0})
    faults = [ErrorAnswer(status=400), None, ErrorAnswer(status=400)]
    forced: dict[str, Any] = {"extra_body": {"tutelage": {"force": "teacher"}}}
    async with FakeUpstream("parcel", faults=faults) as up:
        models = {"teacher": {"upstream": up.base_url, **teacher}}
        async with gateway(tmp_path, up.base_url, **policy, models=models) as base:
            chat = client(base).chat.completions
            with pytest.raises(openai.BadRequestError) as refused:
                await chat.create(model="auto", messages=PARCEL, **forced)
            assert refused.value.response.headers["x-tutelage-cost-usd"] == "0"
            await chat.create(model="auto", messages=PARCEL, **forced)
            await chat.create(model="auto", messages=PARCEL)
            (audited, _, _) = await settled(tmp_path, 3)
            await chat.create(model="auto", messages=PARCEL)
            rows = await settled(tmp_path, 4)
    one, none = Decimal("0.01"), Decimal(0)
    assert [row.cost_usd for row in reversed(rows)] == [none, one, none, one]
    assert [row.teacher_cost_usd for row in reversed(rows)] == [None, one, one, one]
    assert [row.teacher_cost_estimated for row in reversed(rows)] == [False, False, True, False]
    assert (audited.seen, rows[0].seen) == (False, True)


async def test_an_interactions_cost_is_a_number(tmp_path: Path) -> None:
    async with FakeUpstream("x") as up, gateway(tmp_path, up.base_url) as base:
        answer = await client(base).chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES
        )
        await settled(tmp_path)
        async with httpx.AsyncClient() as http:
            url = f"{base}/v1/interactions/{answer.headers['x-tutelage-id']}"
            found = (await http.get(url)).json()
    assert found["cost_usd"] == 60e-6


async def test_too_many_requests_says_when_to_come_back(tmp_path: Path) -> None:
    final = {"x-should-retry": "false"}
    faults = [ErrorAnswer(status=429), ErrorAnswer(status=429, headers=final)]
    async with FakeUpstream(faults=faults) as up, gateway(tmp_path, up.base_url) as base:
        for should_retry in (None, "false"):
            with pytest.raises(openai.RateLimitError) as refused:
                await client(base).chat.completions.create(model="auto", messages=MESSAGES)
            headers = refused.value.response.headers
            assert headers["retry-after"] == "1"
            assert headers.get("x-should-retry") == should_retry


@pytest.mark.parametrize("stream", [False, True])
async def test_a_check_by_chance_that_fails_delivers_the_draft_and_proves_nothing(
    stream: bool, tmp_path: Path
) -> None:
    promote(tmp_path)
    policy = workload(promise={"agreement": 0.8})
    async with (
        FakeUpstream("parcel", faults=[ErrorAnswer(status=503)]) as up,
        built(make_app(tmp_path, up.base_url, **policy)) as deps,
    ):
        settings = deps.settings.workloads[0].promise
        assert settings is not None
        certificate = deps.promises.account("shop", settings)
        for _ in range(200):
            certificate.observe(Trial(level=0, seen=True, wrong=False, propensity=1, floor=1))
        before = certificate.wealth()
        unlucky = replace(deps, coin=lambda: 0.0)
        delivery = await run(unlucky, parse_chat(encode(stream=stream)), CALLER)
        if delivery.events is not None:
            async for _ in delivery.events:
                pass
        await delivery.aclose()
        gained = certificate.wealth() - before
    assert delivery.headers["x-tutelage-tier"] == "student"
    assert delivery.headers["x-tutelage-reason"] == "proof_failed"
    assert len(up.requests) == 1
    assert gained.max() <= 0.0
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    row = store.latest(1)[0]
    _, stored = list(store.trials("shop"))[-1]
    store.close()
    assert (row.tier, row.status, row.seen) == ("student", "ok", False)
    assert [attempt.status for attempt in row.attempts] == [503]
    assert (stored.failed, stored.propensity) == (True, stored.floor)
