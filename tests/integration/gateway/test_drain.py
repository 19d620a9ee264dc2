"""The end of the drain cuts answers that took too long: their clients are told so."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
import yaml

from router.app import create_app
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import FakeUpstream

MESSAGES = [{"role": "user", "content": "hello"}]
FORMS: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": MESSAGES},
    "messages": {"messages": MESSAGES, "max_tokens": 100},
    "responses": {"input": "hello", "store": False},
}


class Stopped:
    """A gateway that is stopped while it answers, and waits a second for the answers to end."""

    def __init__(self, folder: Path, up: FakeUpstream) -> None:
        self.up = up
        teacher = {"upstream": up.base_url, "model": "m", "price": {"input": 1, "output": 1}}
        document = {"store": {"url": f"sqlite:///{folder}/t.db"}, "models": {"teacher": teacher}}
        (folder / "t.yaml").write_text(yaml.safe_dump(document))
        settings = load_settings(folder / "t.yaml", {})
        app = create_app(settings, Store.open(settings.store.url))
        config = uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))

    async def ask(self, form: str, **more: Any) -> httpx.Response:
        serving = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        while not self.server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
            await asyncio.sleep(0.01)
        base = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        async with httpx.AsyncClient(base_url=base, timeout=20) as asking:
            body = {"model": "auto", **FORMS[form], **more}
            answering = asyncio.create_task(asking.post(f"/{form}", json=body))
            await self.up.wait_for_request(timeout_s=20)
            await asyncio.sleep(0.5)
            self.server.should_exit = True
            answer = await answering
        with suppress(asyncio.CancelledError):
            await serving
        return answer


@pytest.mark.parametrize("form", FORMS)
async def test_a_stream_ends_with_an_error_and_without_done(tmp_path: Path, form: str) -> None:
    async with FakeUpstream("word " * 200, chunk_delay_s=0.1) as up:
        answer = await Stopped(tmp_path, up).ask(form, stream=True)
        await up.wait_for_disconnect()
    *_, last = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    told = json.loads(last.removeprefix("data: "))
    assert "gateway_stopping" in last or told.get("type") == "error"
    assert "is being stopped" in last
    assert "[DONE]" not in answer.text
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    (record,) = store.latest(9)
    store.close()
    assert record.status == "broken"
    assert [(one.basis, one.held_usd is not None) for one in record.attempts] == [("unknown", True)]


async def test_an_answer_that_has_not_begun_is_a_503(tmp_path: Path) -> None:
    async with FakeUpstream("late", latency_s=15) as up:
        answer = await Stopped(tmp_path, up).ask("chat/completions")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["code"] == "gateway_stopping"
