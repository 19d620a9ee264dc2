"""What an answer cost and saved, the limit a client sets, and that all places say the same."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from router.record.store import Store
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway
from tests.integration.gateway.test_student import ask, promote, workload

TEACHER = {"model": "big-70b", "retries": 0}
ANSWER_USD = Decimal("0.00006")
"""12 tokens in at 2.50 and 3 out at 10.00 USD per million: what each of the teacher's costs."""


def at_most(usd: float, **more: Any) -> dict[str, Any]:
    return {"extra_body": {"tutelage": {"max_cost_usd": usd, **more}}}


async def test_the_teacher_is_not_asked_beyond_the_limit(tmp_path: Path) -> None:
    async with FakeUpstream("card arrival") as up, gateway(tmp_path, up.base_url) as base:
        chat = client(base).chat.completions
        await chat.create(model="auto", messages=MESSAGES)  # from here on the cost is known
        with pytest.raises(openai.BadRequestError) as refused:
            await chat.create(model="auto", messages=MESSAGES, **at_most(0.00005))
        with pytest.raises(openai.BadRequestError):
            await chat.create(model="teacher", messages=MESSAGES, stream=True, **at_most(0.00005))
        await chat.create(model="auto", messages=MESSAGES, **at_most(0.00006))
    assert (refused.value.code, refused.value.param) == (
        "max_cost_exceeded",
        "tutelage.max_cost_usd",
    )
    assert "0.00006 USD, more than the max_cost_usd of 0.00005" in refused.value.message
    assert len(up.requests) == 2
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert len(store.latest(10)) == 2
    store.close()


async def test_a_long_prompt_alone_may_exceed_the_limit(tmp_path: Path) -> None:
    async with FakeUpstream("card arrival") as up, gateway(tmp_path, up.base_url) as base:
        long: list[Any] = [{"role": "user", "content": "word " * 8000}]  # 10,000 tokens
        with pytest.raises(openai.BadRequestError, match=r"estimated at 0\.025 USD"):
            await client(base).chat.completions.create(model="auto", messages=long, **at_most(0.02))
    assert up.requests == []


async def test_an_unknown_cost_is_let_through(tmp_path: Path) -> None:
    async with FakeUpstream("card arrival") as up:
        unpriced = {"models": {"teacher": {**TEACHER, "upstream": up.base_url}}}
        async with gateway(tmp_path, up.base_url, **unpriced) as base:
            for _ in range(2):
                answer = await client(base).chat.completions.with_raw_response.create(
                    model="auto", messages=MESSAGES, **at_most(0)
                )
    assert answer.headers["x-tutelage-reason"] == "policy_teacher"
    assert "x-tutelage-cost-usd" not in answer.headers
    assert "x-tutelage-saved-usd" not in answer.headers


async def test_a_draft_is_free_but_its_audit_is_not(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(policy="threshold", threshold=0.92, audit={"max_share": 1.0})
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        await ask(base, "zq 7781 ??")  # the teacher's, and the release is in force
        asked = len(up.requests)
        draft = await ask(base, "where is my parcel", **at_most(0.00001))
        with pytest.raises(openai.BadRequestError):
            await ask(base, "zq 7781 ??", **at_most(0.00001))
        assert len(up.requests) == asked
    assert draft.headers["x-tutelage-tier"] == "student"
    assert draft.headers["x-tutelage-cost-usd"] == "0"
    assert Decimal(draft.headers["x-tutelage-saved-usd"]) == ANSWER_USD
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    row = store.latest(1)[0]
    store.close()
    assert (row.tier, row.cost_usd, row.seen, row.level, row.propensity) == (
        "student",
        Decimal(0),
        False,
        None,
        1.0,
    )
    assert not any(step["background"] for step in row.trace)


@pytest.mark.parametrize(
    ("question", "audited", "tier"),
    [
        ("where is my parcel", False, "student"),
        ("where is my parcel", True, "student"),
        ("zq 7781 ??", False, "teacher"),
    ],
)
async def test_headers_and_chunk_say_the_same(
    tmp_path: Path, question: str, audited: bool, tier: str
) -> None:
    promote(tmp_path)
    policy = workload(policy="threshold", threshold=0.92, audit={"max_share": float(audited)})
    body = {"model": "auto", "messages": [{"role": "user", "content": question}]}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        await ask(base, "zq 7781 ??")
        async with httpx.AsyncClient(base_url=f"{base}/v1") as http:
            whole = await http.post("/chat/completions", json=body)
            stream = await http.post("/chat/completions", json={**body, **options})
    told = json.loads(stream.text.split("data: ")[-2])["tutelage"]
    assert set(told) == {
        "id",
        "tier",
        "model",
        "reason",
        "confidence",
        "release",
        "attempts",
        "cost_usd",
        "saved_usd",
    }
    assert told["tier"] == tier
    for name, value in told.items():
        same = f"{value:.6f}" if isinstance(value, float) else str(value)
        header = f"x-tutelage-{name.replace('_', '-')}"
        if name.endswith("_usd"):
            assert float(whole.headers.get(header, "nan")) == value or value is None
        elif name != "id":
            assert whole.headers.get(header, "None") == same, name
        if not name.endswith("_usd"):  # unknown when a stream of the teacher's begins
            assert stream.headers.get(header, "None") == same, name
    spent, saved = (None, None) if audited else (Decimal(0), ANSWER_USD)
    if tier == "teacher":
        spent, saved = ANSWER_USD, Decimal(0)
    for value, expected in ((told["cost_usd"], spent), (told["saved_usd"], saved)):
        assert value == (None if expected is None else float(expected)), value


async def test_an_audit_takes_no_time_of_the_client(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(policy="student", audit={"max_share": 1.0})
    async with (
        FakeUpstream("parcel", latency_s=1.0) as up,
        gateway(tmp_path, up.base_url, **policy) as base,
    ):
        await ask(base, "where is my parcel")
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    row = store.latest(1)[0]
    store.close()
    assert (row.tier, row.seen) == ("student", True)
    delivered_at = row.created_at + row.latency_ms / 1000
    assert delivered_at < row.attempts[0].started_at + 0.5  # the audit took a second at least


async def test_one_long_answer_does_not_change_the_comparer(tmp_path: Path) -> None:
    """The release in force learned labels: unconfigured, its workload stays one of labels."""
    promote(tmp_path)
    long = "I can't tell from this what you want; please say more. " * 3
    said = {"hi": long, "where is my parcel": "Parcel"}
    async with (
        FakeUpstream(lambda body: said[body["messages"][-1]["content"]]) as up,
        gateway(tmp_path, up.base_url, **workload(policy="student", audit={"max_share": 1.0})) as b,
    ):
        for question in ("where is my parcel", "hi"):
            await ask(b, question)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    rows = [row for row in store.latest(9) if row.tier == "student"]
    store.close()
    assert [row.comparer for row in rows] == ["label"] * 2
    assert {row.draft_agreed for row in rows} == {True, False}
