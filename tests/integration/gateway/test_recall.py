"""The teacher's own earlier answers, recalled through the gateway under a promise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.deps import Deps
from router.pipeline import run
from router.testing import FakeUpstream
from router.wire.openai import parse_chat
from tests.integration.gateway.test_gateway import client
from tests.integration.gateway.test_leaving import CALLER, built, make_app, serve
from tests.integration.gateway.test_student import workload

QUESTIONS = [f"What is the capital of country {i:02d}" for i in range(12)]
PROMISE = workload(promise={"agreement": 0.9})


def answer(body: dict[str, Any]) -> str:
    """An open text, so that no student could be learned."""
    return f"It is city {str(body['messages'][-1]['content']).split()[-1].strip('?')}, of course."


async def ask(deps: Deps, text: str, **more: Any) -> dict[str, str]:
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], **more}
    delivery = await run(deps, parse_chat(json.dumps(body).encode()), CALLER)
    await delivery.aclose()
    return dict(delivery.headers)


async def repeat(deps: Deps, times: int, questions: Sequence[str] = QUESTIONS) -> list[str]:
    """The tiers of the last round."""
    tiers: list[str] = []
    for i in range(times):
        end = "?" if i % 2 else ""
        tiers = [(await ask(deps, f"{text}{end}"))["x-tutelage-tier"] for text in questions]
    return tiers


async def test_repeated_questions_are_recalled_once_that_is_proven(tmp_path: Path) -> None:
    async with FakeUpstream(answer) as up:
        app = make_app(tmp_path, up.base_url, **PROMISE)
        async with serve(app) as port, httpx.AsyncClient() as http:
            await repeat(app.state.deps, 14)
            base = f"http://127.0.0.1:{port}"
            talk = client(base).chat.completions
            messages: list[Any] = [{"role": "user", "content": f" {QUESTIONS[3].upper()}?"}]
            for _ in range(20):  # until the coin asks for no check
                raw = await talk.with_raw_response.create(model="auto", messages=messages)
                if raw.headers["x-tutelage-tier"] == "recall":
                    break
            stream = await talk.create(model="auto", messages=messages, stream=True)
            text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
            url = f"{base}/v1/interactions/{raw.headers['x-tutelage-id']}"
            async with asyncio.timeout(30):
                while (found := await http.get(url)).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            shown = found.json()
            metrics = (await http.get(f"{base}/metrics")).text
    headers = raw.headers
    assert (headers["x-tutelage-tier"], headers["x-tutelage-reason"]) == ("recall", "certified")
    assert (headers["x-tutelage-model"], headers["x-tutelage-cost-usd"]) == ("teacher", "0")
    assert float(headers["x-tutelage-confidence"]) > 0.9
    assert "x-tutelage-release" not in headers
    assert raw.parse().choices[0].message.content == text == "It is city 03, of course."
    assert raw.parse().model == "recall@teacher"
    assert (shown["tier"], shown["model"], shown["cost_usd"]) == ("recall", "teacher", 0.0)
    assert [(s["tier"], s["commit"]) for s in shown["trace"]] == [
        ("recall", False),
        ("recall", True),
    ]
    assert 'reason="certified",tier="recall",workload="shop"' in metrics
    assert len(up.requests) < 200


async def test_memory_survives_a_restart_and_not_another_configuration(tmp_path: Path) -> None:
    async with FakeUpstream(answer) as up:
        async with built(make_app(tmp_path, up.base_url, **PROMISE)) as deps:
            await repeat(deps, 14)
        async with built(make_app(tmp_path, up.base_url, **PROMISE)) as deps:
            tiers = await repeat(deps, 1)
        assert "recall" in tiers
        other = workload(promise={"agreement": 0.9}, compare="text")
        async with built(make_app(tmp_path, up.base_url, **other)) as deps:
            assert set(await repeat(deps, 1)) == {"teacher"}


async def test_a_teacher_that_wavers_is_never_recalled(tmp_path: Path) -> None:
    turns = iter(range(10_000))
    async with (
        FakeUpstream(lambda body: f"{answer(body)} {next(turns) % 5}") as up,
        built(make_app(tmp_path, up.base_url, **PROMISE)) as deps,
    ):
        for _ in range(20):
            assert set(await repeat(deps, 1)) == {"teacher"}


async def test_another_version_of_the_teacher_empties_the_memory(tmp_path: Path) -> None:
    async with (
        FakeUpstream(answer, extra={"model": "big-70b-v1"}) as up,
        built(make_app(tmp_path, up.base_url, **PROMISE)) as deps,
    ):
        assert "recall" in await repeat(deps, 14)
        up._extra["model"] = "big-70b-v2"
        await ask(deps, "Something new")
        assert set(await repeat(deps, 1)) == {"teacher"}


async def test_what_must_not_be_stored_or_was_redacted_is_not_remembered(tmp_path: Path) -> None:
    redacting = {**PROMISE, "data": {"redact": ["email"]}}
    async with (
        FakeUpstream(answer) as up,
        built(make_app(tmp_path, up.base_url, **redacting)) as deps,
    ):
        await ask(deps, "Keep this to yourself", tutelage={"store": False})
        await ask(deps, "Write to ann@example.com")
        assert len(deps.recall._memories["shop"]) == 0
        await ask(deps, "Write to Ann")
        assert len(deps.recall._memories["shop"]) == 1


@pytest.mark.parametrize(
    ("more", "remembers"),
    [
        ({"promise": {"agreement": 0.9}}, True),
        ({"promise": {"agreement": 0.9}, "recall": False}, False),
        ({"policy": "student"}, False),
        ({"policy": "student", "recall": True}, True),
        ({"policy": "threshold", "threshold": 0.5, "recall": {"max_answers": 1}}, True),
        ({"policy": "teacher", "recall": True}, False),
    ],
)
async def test_who_recalls(tmp_path: Path, more: dict[str, Any], remembers: bool) -> None:
    async with (
        FakeUpstream(answer) as up,
        built(make_app(tmp_path, up.base_url, **workload(**more))) as deps,
    ):
        await ask(deps, QUESTIONS[0])
        assert deps.recall.is_ready("shop", deps.recall.identify(*identity())) is remembers


def identity() -> tuple[dict[str, Any], str, str]:
    return {"messages": [{"role": "user", "content": QUESTIONS[0]}]}, "teacher", ""
