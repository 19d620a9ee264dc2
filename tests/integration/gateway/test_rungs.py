"""A further model that drafts between the student and the teacher, over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI

from router.app import create_app
from router.deciding.alone import read_alone
from router.deps import Deps
from router.errors import BadRequest
from router.explain.explanation import explain
from router.explain.planned import plan_request
from router.explain.recorded import read_interaction
from router.explain.text import write_text
from router.limits.budgets import list_budgets
from router.pipeline import run
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import ErrorAnswer, FakeUpstream
from router.wire.openai import parse_chat
from tests.integration.gateway.test_gateway import client
from tests.integration.gateway.test_leaving import CALLER, built, serve

PRICE = {"input": 2.0, "output": 8.0}
CHEAP = {"input": 0.2, "output": 0.8}
TEACHER_USD, MID_USD = Decimal("0.000048"), Decimal("0.0000048")
"""Of the fakes' 12 and 3 tokens."""


def is_hard(n: int) -> bool:
    return n % 4 == 0


def _number(body: dict[str, Any]) -> int:
    return int(str(body["messages"][-1]["content"]).split()[-1])


def teach(body: dict[str, Any]) -> str:
    return "billing" if is_hard(_number(body)) else "tracking"


def draft(body: dict[str, Any]) -> str:
    """What the further model says: wrong, and longer, where the question is hard."""
    return "I am not sure about that" if is_hard(_number(body)) else "tracking"


def make(folder: Path, teacher: str, mid: str, budgets: Sequence[Any] = (), **more: Any) -> FastAPI:
    models = {
        "teacher": {"upstream": teacher, "model": "big-70b", "retries": 0, "price": PRICE},
        "mid-8b": {"upstream": mid, "model": "mid", "price": CHEAP},
        "mid-9b": {"upstream": mid, "model": "other", "price": CHEAP},
    }
    workload = {
        "name": "shop",
        "match": {"system_prompt": "*"},
        "promise": {"agreement": 0.9},
        "recall": False,
        "compare": "label",
        "rungs": ["mid-8b"],
        **more,
    }
    config = folder / "tutelage.yaml"
    url = f"sqlite:///{folder}/t.db"
    written = {"store": {"url": url}, "models": models, "workloads": [workload]}
    if budgets:
        written["budgets"] = [*budgets]
    config.write_text(yaml.safe_dump(written))
    return create_app(load_settings(config, {}), Store.open(url))


@asynccontextmanager
async def world(
    folder: Path, up: FakeUpstream, mid: FakeUpstream, **more: Any
) -> AsyncIterator[Deps]:
    async with up, mid, built(make(folder, up.base_url, mid.base_url, **more)) as deps:
        yield deps


async def ask(deps: Deps, n: int, **more: Any) -> dict[str, str]:
    body = {"model": "auto", "messages": [{"role": "user", "content": f"order {n}"}], **more}
    delivery = await run(deps, parse_chat(json.dumps(body).encode()), CALLER)
    await delivery.aclose()
    return dict(delivery.headers)


async def shown(deps: Deps, id: str) -> Any:
    """The record, once it is written."""
    async with asyncio.timeout(30):
        while (found := deps.store.interaction(id)) is None:  # noqa: ASYNC110 - another thread writes
            await asyncio.sleep(0.02)
    return found


async def test_a_rung_is_measured_then_serves_at_its_price(tmp_path: Path) -> None:
    async with FakeUpstream(teach) as up, FakeUpstream(draft) as mid:
        app = make(tmp_path, up.base_url, mid.base_url)
        async with serve(app) as port:
            deps = app.state.deps
            first = [await ask(deps, n) for n in range(40)]
            for n in range(40, 400):
                await ask(deps, n)
            talk = client(f"http://127.0.0.1:{port}").chat.completions
            messages: list[Any] = [{"role": "user", "content": "order 401"}]
            for _ in range(30):  # until the coin asks for no check
                raw = await talk.with_raw_response.create(model="auto", messages=messages)
                if raw.headers["x-tutelage-tier"] == "student":
                    break
            hard = await ask(deps, 404)
            record = await shown(deps, raw.headers["x-tutelage-id"])
            checked = await shown(deps, hard["x-tutelage-id"])
    assert {one["x-tutelage-reason"] for one in first} == {"evidence_missing"}
    assert {one["x-tutelage-cost-usd"] for one in first} == {str(TEACHER_USD + MID_USD)}
    assert raw.headers["x-tutelage-model"] == raw.parse().model == "mid-8b"
    assert Decimal(raw.headers["x-tutelage-cost-usd"]) == MID_USD
    assert raw.parse().choices[0].message.content == "tracking"
    usage = raw.parse().usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (12, 3)
    assert (record.tier, record.model, record.release) == ("student", "mid-8b", None)
    assert [(one.model, one.purpose, one.cost_usd) for one in record.attempts] == [
        ("mid-8b", "draft", MID_USD)
    ]
    assert (hard["x-tutelage-tier"], checked.draft_agreed) == ("teacher", False)
    assert len(up.requests) < 300
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    report = store.verify_ledger()
    (alone,) = read_alone(store, "shop")
    store.close()
    assert (alone.model, alone.usd) == ("mid-8b", MID_USD)
    assert alone.low < 0.75 < alone.high
    assert report.agrees, report


async def test_its_gate_and_price_outlast_a_restart_but_not_another_model(tmp_path: Path) -> None:
    async with FakeUpstream(teach) as up, FakeUpstream(draft) as mid, FakeUpstream(draft) as other:
        async with built(make(tmp_path, up.base_url, mid.base_url)) as deps:
            for n in range(120):
                await ask(deps, n)
            before = [await ask(deps, n) for n in (121, 124)]
        async with built(make(tmp_path, up.base_url, mid.base_url)) as deps:
            assert deps.rungs is not None
            assert deps.rungs.cost("shop", "mid-8b") == MID_USD
            after = [await ask(deps, n) for n in (125, 128)]
        async with built(make(tmp_path, up.base_url, other.base_url)) as deps:
            headers = await ask(deps, 129)
    confidences = [float(one["x-tutelage-confidence"]) for one in (*before, *after)]
    assert min(confidences[0], confidences[2]) > 0.9
    assert max(confidences[1], confidences[3]) < 0.2
    # The same name, elsewhere: nothing is known of it.
    assert "x-tutelage-confidence" not in headers


async def test_a_threshold_judges_its_drafts_too_and_audits_them(tmp_path: Path) -> None:
    policy = {"policy": "threshold", "threshold": 0.8, "promise": None, "audit": {"max_share": 1.0}}
    up, mid = FakeUpstream(teach), FakeUpstream(draft)
    async with world(tmp_path, up, mid, **policy) as deps:
        told = [await ask(deps, n) for n in range(80)]
        await asyncio.gather(*deps.background)
        record = await shown(deps, told[75]["x-tutelage-id"])
        assert deps.rungs is not None
        compared = [len(gate) for gate in deps.rungs._known["shop"].gates.values()]
    assert {one["x-tutelage-reason"] for one in told[:50]} == {"evidence_missing"}
    assert {one["x-tutelage-reason"] for one in told[60:]} == {"above_threshold", "below_threshold"}
    assert (record.model, record.agreed) == ("mid-8b", True)
    assert [(one.model, one.purpose) for one in record.attempts] == [
        ("mid-8b", "draft"),
        ("teacher", "audit"),
    ]
    # What is audited teaches the gate as well.
    assert compared == [80]


async def test_what_must_not_be_stored_teaches_nothing(tmp_path: Path) -> None:
    up, mid = FakeUpstream(teach), FakeUpstream(draft)
    async with world(tmp_path, up, mid) as deps:
        for n in range(60):
            headers = await ask(deps, n, tutelage={"store": False})
        record = await shown(deps, headers["x-tutelage-id"])
        told = await ask(deps, 61)
    assert not any("compared" in step for step in record.trace)
    assert "x-tutelage-confidence" not in told


async def test_a_rung_that_fails_costs_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    down = ErrorAnswer(status=503)
    up, mid = FakeUpstream(teach), FakeUpstream(draft, always=down)
    async with world(tmp_path, up, mid, on_teacher_failure="draft") as deps:
        told = [await ask(deps, n) for n in range(30)]
        record = await shown(deps, told[0]["x-tutelage-id"])
    assert {one["x-tutelage-tier"] for one in told} == {"teacher"}
    assert {one["x-tutelage-reason"] for one in told} == {"student_unavailable"}
    assert {one["x-tutelage-cost-usd"] for one in told} == {str(TEACHER_USD)}
    assert [(one.model, one.purpose, one.basis) for one in record.attempts] == [
        ("mid-8b", "draft", "refused"),
        ("teacher", "answer", "answer"),
    ]
    assert len(mid.requests) < 30  # its breaker opened


async def test_a_teacher_that_fails_is_stood_in_for_by_the_rungs_draft(tmp_path: Path) -> None:
    down = ErrorAnswer(status=503)
    up, mid = FakeUpstream(teach, always=down), FakeUpstream(draft)
    async with world(tmp_path, up, mid, on_teacher_failure="draft") as deps:
        told = await ask(deps, 1)
    assert (told["x-tutelage-reason"], told["x-tutelage-model"]) == ("teacher_failed", "mid-8b")


async def test_a_server_that_gives_no_log_probabilities_is_asked_without(tmp_path: Path) -> None:
    refused = ErrorAnswer(status=400)
    up, mid = FakeUpstream(teach), FakeUpstream(draft, faults=[refused])
    async with world(tmp_path, up, mid) as deps:
        first = await ask(deps, 0)
        record = await shown(deps, first["x-tutelage-id"])
        for n in (1, 2):
            await ask(deps, n)
    assert ["logprobs" in one.body for one in mid.requests] == [True, False, False, False]
    # Every try is an attempt, the refused one too.
    assert [(one.model, one.status) for one in record.attempts] == [
        *(("mid-8b", 400), ("mid-8b", 200)),
        ("teacher", 200),
    ]


async def test_log_probabilities_are_signals_where_they_are_given(tmp_path: Path) -> None:
    def logprob(body: dict[str, Any]) -> float:
        return -2.0 if is_hard(_number(body)) else -0.01

    up, mid = FakeUpstream(teach), FakeUpstream(draft, logprobs=logprob)
    async with world(tmp_path, up, mid) as deps:
        headers = await ask(deps, 1)
        record = await shown(deps, headers["x-tutelage-id"])
    (compared,) = [step["compared"] for step in record.trace if "compared" in step]
    assert compared["signals"]["mean_logprob"] > 4.0
    assert compared["agreed"]


async def test_a_client_that_leaves_while_it_drafts_is_billed_for_it(tmp_path: Path) -> None:
    up, mid = FakeUpstream(teach), FakeUpstream(draft, latency_s=30.0)
    async with world(tmp_path, up, mid) as deps:
        task = asyncio.create_task(ask(deps, 1))
        await mid.wait_for_request()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(30):
            while not (found := deps.store.latest(1)):  # noqa: ASYNC110 - another thread writes
                await asyncio.sleep(0.02)
    (attempt,) = found[0].attempts
    assert (found[0].status, found[0].cost_usd) == ("broken", None)
    assert (attempt.model, attempt.basis) == ("mid-8b", "unknown")
    assert up.requests == []


BUDGET = {"usd": 1, "per": "day"}


async def spend(deps: Deps) -> tuple[Decimal, Decimal]:
    """Spent and set aside of the one budget."""
    assert deps.door is not None
    (budget,) = list_budgets(deps.settings)
    return await deps.door.spent(budget)


async def set_aside(folder: Path, rungs: list[str]) -> Decimal:
    """For one request, while whoever is asked first makes up its mind."""
    up, mid = FakeUpstream(teach, latency_s=30.0), FakeUpstream(draft, latency_s=30.0)
    async with world(folder, up, mid, budgets=[BUDGET], rungs=rungs) as deps:
        task = asyncio.create_task(ask(deps, 1, max_tokens=100))
        await (mid if rungs else up).wait_for_request()
        _, aside = await spend(deps)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return aside


async def test_a_budget_sets_aside_what_every_draft_may_cost(tmp_path: Path) -> None:
    found = []
    for rungs in ([], ["mid-8b"], ["mid-8b", "mid-9b"]):
        folder = tmp_path / str(len(rungs))
        folder.mkdir()
        found.append(await set_aside(folder, rungs))
    # Each of them costs a tenth of what the teacher does.
    assert found[0] > Decimal("0.0008")
    assert found == [found[0] * tenths / 10 for tenths in (10, 11, 12)]


async def test_a_client_that_leaves_while_it_drafts_gives_nothing_back(tmp_path: Path) -> None:
    up, mid = FakeUpstream(teach), FakeUpstream(draft, latency_s=30.0)
    async with world(tmp_path, up, mid, budgets=[BUDGET]) as deps:
        task = asyncio.create_task(ask(deps, 1, max_tokens=100))
        await mid.wait_for_request()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(30):
            while not deps.store.latest(1):  # noqa: ASYNC110 - another thread writes
                await asyncio.sleep(0.02)
        spent, aside = await spend(deps)
    # What it cost isn't known, so what was set aside counts.
    assert spent + aside > Decimal("0.00008")


async def test_drafts_that_a_limit_made_vain_are_paid_for(tmp_path: Path) -> None:
    """The teacher turned out dearer while a draft was made."""
    known: list[Deps] = []

    def draft_meanwhile(body: dict[str, Any]) -> str:
        known[0].teacher_costs.observe("shop", Decimal(5))
        return draft(body)

    up, mid = FakeUpstream(teach), FakeUpstream(draft_meanwhile)
    async with world(tmp_path, up, mid, budgets=[BUDGET]) as deps:
        known.append(deps)
        with pytest.raises(BadRequest, match="estimated"):
            await ask(deps, 1, tutelage={"max_cost_usd": 0.01})
        async with asyncio.timeout(30):
            while not (found := deps.store.latest(1)):  # noqa: ASYNC110 - another thread writes
                await asyncio.sleep(0.02)
            while await spend(deps) != (MID_USD, 0):  # noqa: ASYNC110 - settled in the background
                await asyncio.sleep(0.02)
    assert (found[0].status, found[0].cost_usd, found[0].level) == ("error", MID_USD, None)
    assert up.requests == []


async def test_a_limit_counts_all_drafts_together(tmp_path: Path) -> None:
    up, mid = FakeUpstream(teach), FakeUpstream(draft)
    async with world(tmp_path, up, mid, rungs=["mid-8b", "mid-9b"]) as deps:
        await ask(deps, 1)
        assert len(mid.requests) == 2
        limit = {"max_cost_usd": float(TEACHER_USD + MID_USD * Decimal("1.5"))}
        told = await ask(deps, 2, tutelage=limit)
    assert len(mid.requests) == 3
    assert told["x-tutelage-cost-usd"] == str(TEACHER_USD + MID_USD)


async def test_a_limit_that_leaves_no_room_for_a_draft_has_none_made(tmp_path: Path) -> None:
    up, mid = FakeUpstream(teach), FakeUpstream(draft)
    async with world(tmp_path, up, mid) as deps:
        await ask(deps, 1)
        tight = {"max_cost_usd": float(TEACHER_USD + MID_USD / 2)}
        told = await ask(deps, 2, tutelage=tight)
        await ask(deps, 3, tutelage={"max_cost_usd": 1.0})
    assert told["x-tutelage-cost-usd"] == str(TEACHER_USD)
    assert len(mid.requests) == 2


async def test_an_explanation_names_the_rung_and_a_plan_asks_none(tmp_path: Path) -> None:
    up, mid = FakeUpstream(teach), FakeUpstream(draft)
    async with world(tmp_path, up, mid) as deps:
        headers = await ask(deps, 1)
        record = await shown(deps, headers["x-tutelage-id"])
        told = write_text(explain(read_interaction(deps, record)))
        body = {"model": "auto", "messages": [{"role": "user", "content": "order 2"}]}
        request = parse_chat(json.dumps(body).encode())
        plan = write_text(explain(await plan_request(deps, request, CALLER)))
    assert (
        "1. mid-8b drafts (draft): The model mid-8b drafts an answer, which can't be judged" in told
    )
    assert "attempt: mid-8b, draft, 200" in told
    assert "none is made for a plan: mid-8b" in plan
    assert len(mid.requests) == 1
