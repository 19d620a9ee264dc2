"""The database goes away in the middle of traffic: serving goes on, nothing is left unbilled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from router.record.store import Store
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, gateway
from tests.postgres import PostgresServer, run_postgres

ANSWER_USD = Decimal("0.00006")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with run_postgres() as running:
        yield running


async def ask(base: str, times: int, *, stream: bool = False) -> list[str]:
    body = {"model": "auto", "messages": MESSAGES, "stream": stream}
    async with httpx.AsyncClient(timeout=60) as http:
        answers = [await http.post(f"{base}/v1/chat/completions", json=body) for _ in range(times)]
    assert [answer.status_code for answer in answers] == [200] * times
    return [answer.headers["x-tutelage-id"] for answer in answers]


async def waiting(base: str) -> int:
    async with httpx.AsyncClient(timeout=60) as http:
        ready = (await http.get(f"{base}/health/ready")).json()
    assert ready["records"]["dropped"] == 0
    return int(ready["records"]["waiting"])


async def wait_for(base: str, records: int) -> None:
    async with asyncio.timeout(60):
        while await waiting(base) != records:  # noqa: ASYNC110 - another process's thread writes
            await asyncio.sleep(0.1)


async def test_serving_goes_on_and_the_ledger_catches_up(
    tmp_path: Path, server: PostgresServer
) -> None:
    with server.database("outage") as url:
        places = {"store": {"url": url, "folder": str(tmp_path)}}
        async with FakeUpstream("ok") as up, gateway(tmp_path, up.base_url, **places) as base:
            ids = await ask(base, 5)
            await wait_for(base, 0)
            await asyncio.to_thread(server.stop)
            ids += await ask(base, 20)
            ids += await ask(base, 10, stream=True)
            assert await waiting(base) == 30
            await asyncio.to_thread(server.start)
            await wait_for(base, 0)
            ids += await ask(base, 5)
        store = Store.open(url)
        verdict = store.verify_ledger()
        assert verdict.findings == []
        assert {row.id for row in store.walk()} == set(ids)
        assert verdict.cost_usd == len(ids) * ANSWER_USD
        store.close()
    assert list((tmp_path / "tutelage-journal").iterdir()) == []


async def test_a_gateway_that_ends_meanwhile_leaves_a_journal(
    tmp_path: Path, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.app._DRAIN_S", 0.5)
    with server.database("ended") as url:
        places = {"store": {"url": url, "folder": str(tmp_path)}}
        async with FakeUpstream("ok") as up:
            async with gateway(tmp_path, up.base_url, **places) as base:
                await asyncio.to_thread(server.stop)
                ids = await ask(base, 7)
            await asyncio.to_thread(server.start)
            async with gateway(tmp_path, up.base_url, **places):
                pass  # the next one recovers at its start
        store = Store.open(url)
        assert {row.id for row in store.walk()} == set(ids)
        assert store.verify_ledger().findings == []
        store.close()
