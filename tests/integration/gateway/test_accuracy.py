"""A promise on accuracy over HTTP: verdicts that the application gives open the student."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.record.store import Store
from router.testing import ErrorAnswer, FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.gateway.test_student import ask, promote, workload

PARCEL = "where is my parcel"
MOST = 120


def promise(**verdicts: Any) -> dict[str, Any]:
    """One that takes few verdicts to prove."""
    terms = {"accuracy": 0.6, "confidence": 0.8}
    return workload(promise={**terms, "verdicts": {"share": 0.5, **verdicts}}, recall=False)


async def find(http: httpx.AsyncClient, name: str) -> dict[str, Any]:
    for _ in range(500):
        answer = await http.get(f"/v1/interactions/{name}")
        if answer.status_code == 200:
            told: dict[str, Any] = answer.json()
            return told
        await asyncio.sleep(0.02)
    raise AssertionError("it was never settled")


def wants(answer: Any) -> bool:
    """Exactly the drawn ones say so."""
    wanted: bool = answer.headers.get("x-tutelage-verdict") == "wanted"
    assert wanted == (answer.headers["x-tutelage-reason"] == "verdict")
    return wanted


async def judge(base: str, said: dict[str, Any], most: int = MOST) -> list[str]:
    """Ask and give this verdict where one is wanted, until a draft is served or so often; the
    reasons."""
    reasons = []
    async with httpx.AsyncClient(base_url=base) as http:
        for _ in range(most):
            answer = await ask(base, PARCEL)
            reasons.append(answer.headers["x-tutelage-reason"])
            if wants(answer):
                name = answer.headers["x-tutelage-id"]
                before = await find(http, name)
                assert (await http.post("/v1/feedback", json={"id": name, **said})).is_success
                after = await find(http, name)
                assert (before["verdict"]["wanted"], after["verdict"]["wanted"]) == (True, False)
                assert after["verdict"]["until"] == before["verdict"]["until"]
            elif reasons[-1] == "certified":
                break
            if len(reasons) % 5 == 0:
                await asyncio.sleep(0.6)  # until the account has read on
    return reasons


async def test_verdicts_open_the_student_and_a_restart_keeps_them(tmp_path: Path) -> None:
    promote(tmp_path)
    async with FakeUpstream("parcel") as up:
        async with gateway(tmp_path, up.base_url, **promise()) as base:
            reasons = await judge(base, {"correction": "Parcel"})
            metrics = (await httpx.AsyncClient().get(f"{base}/metrics")).text
        assert reasons[-1] == "certified"
        assert set(reasons[:-1]) == {"verdict", "observe"}
        assert 'tutelage_accuracy_promise{workload="shop"} 0.6' in metrics
        assert 'tutelage_promise{workload="shop"}' not in metrics
        store = Store.open(f"sqlite:///{tmp_path}/t.db")
        proven, served = store.promise_state("shop"), store.latest(1)[0]
        store.close()
        assert proven is not None
        assert (served.tier, served.seen, served.floor) == ("student", False, 0.5)
        async with gateway(tmp_path, up.base_url, **promise()) as base:
            again = [await ask(base, PARCEL) for _ in range(12)]
    assert {one.headers["x-tutelage-reason"] for one in again} == {"verdict", "certified"}
    assert all(wants(one) == (one.headers["x-tutelage-tier"] == "teacher") for one in again)
    async with (
        FakeUpstream(ErrorAnswer(status=500)) as down,
        gateway(tmp_path, down.base_url, **promise()) as base,
    ):
        stood = [await ask(base, PARCEL) for _ in range(12)]
    # Drawn, the draft that was fit to be served is; there is nothing to judge then.
    assert {one.headers["x-tutelage-reason"] for one in stood} == {"proof_failed", "certified"}
    assert not any(wants(one) for one in stood)


@pytest.mark.long
async def test_verdicts_that_say_wrong_serve_nothing(tmp_path: Path) -> None:
    promote(tmp_path)
    async with (
        FakeUpstream("parcel") as up,
        gateway(tmp_path, up.base_url, **promise()) as base,
    ):
        reasons = await judge(base, {"score": -1}, most=20)
    assert set(reasons) == {"verdict", "observe"}


@pytest.mark.long
async def test_silence_waits_and_then_counts_as_wrong(tmp_path: Path) -> None:
    promote(tmp_path)

    def trials() -> int:
        store = Store.open(f"sqlite:///{tmp_path}/t.db")
        state = store.promise_state("shop")
        store.close()
        return 0 if state is None else int(state.state["trials"])

    async with FakeUpstream("parcel") as up:
        async with gateway(tmp_path, up.base_url, **promise()) as base:
            reasons = await reasons_of(base, 30)
            await asyncio.sleep(1.2)
        # What came before the first that was drawn counts, and nothing behind it.
        assert trials() == reasons.index("verdict")
        async with gateway(tmp_path, up.base_url, **promise(within="1s")) as base:
            await asyncio.sleep(1.5)
            assert trials() == 30
            assert "certified" not in await reasons_of(base, 6)


async def reasons_of(base: str, count: int) -> Sequence[str]:
    return [(await ask(base, PARCEL)).headers["x-tutelage-reason"] for _ in range(count)]


async def test_a_stream_says_at_its_start_that_a_verdict_is_wanted(tmp_path: Path) -> None:
    promote(tmp_path)
    wanted = []
    async with (
        FakeUpstream("parcel") as up,
        gateway(tmp_path, up.base_url, **promise()) as base,
    ):
        await ask(base, PARCEL)
        for _ in range(12):
            raw = await client(base).chat.completions.with_raw_response.create(
                model="auto", messages=[{"role": "user", "content": PARCEL}], stream=True
            )
            wanted.append(wants(raw))
            said = [c.choices[0].delta.content or "" async for c in raw.parse() if c.choices]
            assert "".join(said) == "parcel"
    assert set(wanted) == {True, False}
