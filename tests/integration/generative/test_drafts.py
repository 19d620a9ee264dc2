"""A student behind a server drafts through the gateway; the server is the shipped fake upstream."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from distill.cycle import run_cycle
from distill.learner import Learner, Outcome
from router.cli import main
from router.record.model import Interaction
from router.record.redact import Redactor
from router.record.store import Store
from router.release import load_release
from router.settings.load import load_settings
from router.students.encoder import Encoder
from router.testing import ErrorAnswer, FakeUpstream, Stall
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.generative.fake_vllm import FakeVllm, said_by_teacher

TEACHER_USD = Decimal("0.00006")
DRAFT_USD = Decimal("0.0000009")
"""12 tokens in at 0.05 and 3 out at 0.10 USD per million."""


def models(teacher: FakeUpstream, *students: FakeUpstream, **more: Any) -> dict[str, Any]:
    return {
        "teacher": {
            "upstream": teacher.base_url,
            "model": "big",
            "retries": 0,
            "price": {"input": 2.5, "output": 10},
            "distillation": "allowed",
        },
        "student": {
            "kind": "openai",
            "replicas": [student.base_url for student in students],
            "model": "small",
            "price": {"input": 0.05, "output": 0.10},
            **more,
        },
    }


def shop(**policy: Any) -> list[dict[str, Any]]:
    return [{"name": "shop", "match": "*", "compare": "label", **policy}]


def teacher() -> FakeUpstream:
    return FakeUpstream(lambda body: said_by_teacher(str(body["messages"][-1]["content"])))


async def ask(chat: openai.AsyncOpenAI, text: str, **more: Any) -> Any:
    return await chat.chat.completions.with_raw_response.create(
        model="auto", messages=[{"role": "user", "content": text}], **more
    )


def stored(folder: Path) -> list[Interaction]:
    store = Store.open(f"sqlite:///{folder}/t.db")
    rows = store.latest(500)
    store.close()
    return rows


def learn(folder: Path) -> Outcome:
    settings = load_settings(folder / "tutelage.yaml", {})
    store = Store.open(settings.store.url)
    learner = Learner(
        settings=settings,
        store=store,
        encoder=Encoder(threads=1),
        redactor=Redactor(()),
        folder=settings.store.beside("releases").absolute(),
        drafts="served",
    )
    try:
        return run_cycle(learner, "shop")
    finally:
        store.close()


def explain(folder: Path, text: str) -> None:
    body = folder / "body.json"
    messages = [{"role": "user", "content": text}]
    body.write_text(json.dumps({"model": "auto", "messages": messages}))
    words = ["explain", "--request", str(body), "--json"]
    main([*words, "--config", str(folder / "tutelage.yaml")])


async def test_recorded_drafts_teach_the_gate_by_which_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = shop(policy="threshold", threshold=0.9, audit={"max_share": 0.0})
    async with teacher() as big, FakeVllm() as small:
        more = {"models": models(big, small), "workloads": policy}
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            kinds = ["where is parcel {}", "login {} fails", "what ?? {}"]
            # Nothing is learned yet: the student drafts, the teacher answers.
            asks = [ask(chat, kind.format(i)) for i in range(34) for kind in kinds]
            first = [answer.headers for answer in await asyncio.gather(*asks)]
            while len(stored(tmp_path)) < len(first):  # noqa: ASYNC110 - another process would do so, too
                await asyncio.sleep(0.05)
            outcome = learn(tmp_path)
            assert outcome.result == "promoted", outcome.sentence
            sure = await ask(chat, "where is parcel 1000")
            while sure.headers["x-tutelage-tier"] != "student":
                sure = await ask(chat, "where is parcel 1001")
            unsure = await ask(chat, "what ?? 1000")
            stream = await chat.chat.completions.create(
                model="auto",
                messages=[{"role": "user", "content": "parcel 9?"}],
                stream=True,
                stream_options={"include_usage": True},
            )
            chunks = [chunk async for chunk in stream]
            asked_before = len(big.requests)
            await asyncio.to_thread(explain, tmp_path, "where is parcel 5")
            assert len(big.requests) == asked_before
    explained = json.loads(capsys.readouterr().out)
    assert (explained["tier"], explained["costs"]["expected_usd"]) == ("student", "0.0000009")
    assert {(h["x-tutelage-tier"], h["x-tutelage-reason"]) for h in first} == {
        ("teacher", "evidence_missing")
    }
    assert {Decimal(h["x-tutelage-cost-usd"]) for h in first} == {TEACHER_USD + DRAFT_USD}
    assert sure.parse().choices[0].message.content == "parcel"
    assert sure.parse().usage.total_tokens == 15
    assert Decimal(sure.headers["x-tutelage-cost-usd"]) == DRAFT_USD
    assert Decimal(sure.headers["x-tutelage-saved-usd"]) == TEACHER_USD - DRAFT_USD
    assert unsure.headers["x-tutelage-reason"] == "below_threshold"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "parcel"
    assert chunks[-1].model_extra["tutelage"]["cost_usd"] == 0.0000009
    rows = stored(tmp_path)
    served = next(row for row in rows if row.tier == "student")
    asked = next(row for row in rows if row.reason == "below_threshold")
    assert [(a.tier, a.purpose, a.cost_usd) for a in asked.attempts] == [
        ("student", "draft", DRAFT_USD),
        ("teacher", "answer", TEACHER_USD),
    ]
    assert (asked.cost_usd, asked.teacher_cost_usd) == (TEACHER_USD + DRAFT_USD, TEACHER_USD)
    assert (served.cost_usd, served.teacher_cost_usd) == (DRAFT_USD, TEACHER_USD)
    assert "mean_logprob" in served.evidence
    assert served.overhead_ms < served.latency_ms
    assert outcome.release is not None
    release = load_release(Path(outcome.release.path))
    assert release.student is not None
    assert release.student.to_meta() == {"kind": "openai", "base": "small", "adapter": None}


async def test_a_student_that_fails_is_replaced_by_the_teacher(tmp_path: Path) -> None:
    policy = shop(policy="threshold", threshold=0.9)
    async with teacher() as big, FakeVllm(always=Stall()) as small:
        more = {
            "models": models(big, small, timeout_s={"total": 0.2}),
            "workloads": policy,
        }
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            silent = await ask(chat, "where is parcel 1")
            resting = await ask(chat, "where is parcel 2")
    for answer in (silent, resting):
        assert answer.parse().choices[0].message.content == "parcel"
        assert answer.headers["x-tutelage-reason"] == "student_unavailable"
    # A server that fell silent may charge for what it had begun.
    assert "x-tutelage-cost-usd" not in silent.headers
    assert Decimal(resting.headers["x-tutelage-cost-usd"]) == TEACHER_USD
    assert (silent.headers["x-tutelage-attempts"], resting.headers["x-tutelage-attempts"]) == (
        "2",
        "1",
    )


async def test_another_replica_answers_for_one_that_fails(tmp_path: Path) -> None:
    policy = shop(policy="threshold", threshold=0.9)
    broken = ErrorAnswer(status=503)
    async with teacher() as big, FakeVllm(always=broken) as ill, FakeVllm() as well:
        more = {"models": models(big, ill, well, price=None), "workloads": policy}
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            reasons = [
                (await ask(chat, f"parcel {i}")).headers["x-tutelage-reason"] for i in range(6)
            ]
    assert set(reasons) == {"evidence_missing"}
    rows = stored(tmp_path)
    # Without a price what the draft cost is unknown, and so is the sum; the teacher's part is not.
    assert {(row.cost_usd, row.teacher_cost_usd) for row in rows} == {(None, TEACHER_USD)}
    drafts = [row.attempts[:-1] for row in rows]
    assert all(calls[-1].status == 200 for calls in drafts)
    assert 1 <= sum(len(calls) == 2 for calls in drafts) <= 2  # then the ill one is left alone


@pytest.mark.parametrize("content", ["parcel", '{"label": 3}'])
async def test_a_draft_in_another_form_than_asked_for_is_never_sure(
    content: str, tmp_path: Path
) -> None:
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string"}},
        "required": ["label"],
    }
    form = {"type": "json_schema", "json_schema": {"name": "label", "schema": schema}}
    async with teacher() as big, FakeUpstream(content, logprobs=lambda body: -0.001) as small:
        policy = shop(policy="threshold", threshold=0.9)
        more = {"models": models(big, small), "workloads": policy}
        async with gateway(tmp_path, "", **more) as base, client(base) as chat:
            await ask(chat, "where is parcel 1", response_format=form)
    assert stored(tmp_path)[0].evidence["format_fault"] == 1.0
