"""A changed configuration file, a faulty one, and a signal to end, under traffic."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

import router.following
from router.app import create_app
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import FakeUpstream, Stall
from tests.integration.cli.test_serve import TUTELAGE
from tests.integration.gateway.test_gateway import MESSAGES
from tests.integration.gateway.test_leaving import serve, settled

BODY = {"model": "auto", "messages": MESSAGES}


def write(folder: Path, up: FakeUpstream, **more: Any) -> Path:
    teacher = {"upstream": up.base_url, "model": "big-70b", "retries": 0}
    store = {"url": f"sqlite:///{folder}/t.db"}
    config = folder / "tutelage.yaml"
    config.write_text(yaml.safe_dump({"store": store, "models": {"teacher": teacher}, **more}))
    return config


@asynccontextmanager
async def following(config: Path) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    settings = load_settings(config, {})
    app = create_app(settings, Store.open(settings.store.url), config)
    async with (
        serve(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http,
    ):
        yield app, http


async def until_in_force(app: FastAPI, before: str) -> None:
    async with asyncio.timeout(10):
        while app.state.deps.settings.digest == before:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)


async def test_a_change_is_taken_up_and_what_runs_keeps_what_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router.following, "_LOOK_S", 0.05)
    async with (
        FakeUpstream("the old teacher says it in several words", chunk_delay_s=0.1) as old,
        FakeUpstream("new") as new,
        following(write(tmp_path, old)) as (app, http),
    ):
        before = app.state.deps.settings.digest
        running = asyncio.create_task(
            http.post("/v1/chat/completions", json={**BODY, "stream": True})
        )
        await old.wait_for_request(timeout_s=10)
        promise = [{"name": "shop", "promise": {"agreement": 0.9}}]
        write(tmp_path, new, workloads=promise, server={"port": 1, "max_body_bytes": 2000})
        await until_in_force(app, before)
        later = await http.post("/v1/chat/completions", json=BODY)
        long = await http.post("/v1/chat/completions", content=b" " * 3000)
        first = await running
        metrics = (await http.get("/metrics")).text
        rows = await settled(tmp_path, 2)
    assert first.text.endswith("data: [DONE]\n\n")
    assert "words" in first.text
    assert later.json()["choices"][0]["message"]["content"] == "new"
    assert long.status_code == 413
    assert len({row.settings_digest for row in rows}) == 2
    assert 'tutelage_promise{workload="shop"} 0.9' in metrics
    assert 'tutelage_config_changes_total{result="taken_up"} 1.0' in metrics
    assert app.state.deps.settings.server.port != 1  # that needs a restart


async def test_what_only_a_restart_can_change_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(router.following, "_LOOK_S", 0.05)
    async with FakeUpstream("x") as up, following(write(tmp_path, up)) as (app, _):
        before = app.state.deps.settings
        teacher = {"upstream": up.base_url, "model": "big-70b", "retries": 0}
        student = {"kind": "openai", "upstream": up.base_url, "model": "small"}
        changes = {"server": {"drain_s": 5}, "data": {"retention_days": 7}}
        write(tmp_path, up, models={"teacher": teacher, "student": student}, **changes)
        await until_in_force(app, before.digest)
        assert app.state.deps.settings.server.drain_s == before.server.drain_s
    told = [record.getMessage() for record in caplog.records if "restart" in record.message]
    changed = ("server", "the servers of models.student", "data.retention_days")
    assert told == [
        f"The change of {name} in the configuration needs a restart." for name in changed
    ]


async def test_a_faulty_file_leaves_the_running_one_in_force_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(router.following, "_LOOK_S", 0.05)
    async with FakeUpstream("x") as up:
        config = write(tmp_path, up)
        sound = config.read_text()
        async with following(config) as (app, http):
            digest = app.state.deps.settings.digest
            for text in (f"{sound}sever: {{}}\n", None):
                config.unlink() if text is None else config.write_text(text)
                async with asyncio.timeout(10):
                    while await state(http) == "in force":  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
                assert (await http.post("/v1/chat/completions", json=BODY)).status_code == 200
                config.write_text(sound)
                async with asyncio.timeout(10):
                    while await state(http) != "in force":  # noqa: ASYNC110
                        await asyncio.sleep(0.02)
            metrics = (await http.get("/metrics")).text
            assert app.state.deps.settings.digest == digest
    said = [record.getMessage() for record in caplog.records if record.name == "tutelage"]
    assert any("sever is not a known key: did you mean server?" in text for text in said)
    assert any("does not exist" in text for text in said)
    assert 'tutelage_config_changes_total{result="refused"} 2.0' in metrics


async def state(http: httpx.AsyncClient) -> str:
    found: str = (await http.get("/health/ready")).json()["configuration"]
    return found


async def test_a_signal_ends_what_does_not_end_by_itself(tmp_path: Path) -> None:
    """A stream that stalls gets ``drain_s``, is cut, told so, and recorded; the process exits 0."""
    async with FakeUpstream("card arrival soon", always=Stall(after_chunks=2)) as up:
        config = write(tmp_path, up, server={"port": 0, "drain_s": 1})
        process = await asyncio.create_subprocess_exec(
            TUTELAGE, "serve", "--config", config, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            base = (await process.stdout.readline()).decode().split()[-1]
            async with httpx.AsyncClient(base_url=base, timeout=30) as http:
                stream = {**BODY, "stream": True}
                async with http.stream("POST", "/v1/chat/completions", json=stream) as answer:
                    parts = answer.aiter_text()
                    while "card" not in await anext(parts):
                        pass
                    process.send_signal(signal.SIGTERM)
                    rest = "".join([part async for part in parts])
                    assert "gateway_stopping" in rest  # an error, so no answer
                    assert "[DONE]" not in rest
            async with asyncio.timeout(30):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    rows = await settled(tmp_path)
    assert [(row.status, row.attempts[0].error) for row in rows] == [
        ("broken", "left before its end")
    ]
