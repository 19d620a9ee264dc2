"""A further model's drafts under a promise on accuracy: verdicts are what opens it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from router.testing import FakeUpstream
from tests.integration.gateway.test_leaving import serve
from tests.integration.gateway.test_rungs import draft, make, teach

MOST = 400


async def give(http: httpx.AsyncClient, verdict: dict[str, str]) -> None:
    for _ in range(500):
        if (await http.post("/v1/feedback", json=verdict)).is_success:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the interaction was never stored")


@pytest.mark.long
async def test_verdicts_open_a_further_model(tmp_path: Path) -> None:
    terms = {"accuracy": 0.6, "confidence": 0.8, "verdicts": {"share": 0.5}}
    async with FakeUpstream(teach) as up, FakeUpstream(draft) as mid:
        app = make(tmp_path, up.base_url, mid.base_url, promise=terms)
        async with (
            serve(app) as port,
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http,
        ):
            reasons = []
            for n in range(MOST):
                messages = [{"role": "user", "content": f"order {n}"}]
                body = {"model": "auto", "messages": messages}
                answer = await http.post("/v1/chat/completions", json=body)
                headers = answer.headers
                reasons.append(headers["x-tutelage-reason"])
                if headers["x-tutelage-tier"] == "student":
                    break
                if headers.get("x-tutelage-verdict") == "wanted":
                    said = answer.json()["choices"][0]["message"]["content"]
                    verdict = {"id": headers["x-tutelage-id"], "correction": said}
                    await give(http, verdict)
                if n % 10 == 9:
                    await asyncio.sleep(0.6)  # until the account has read on
    assert (headers["x-tutelage-tier"], headers["x-tutelage-model"]) == ("student", "mid-8b")
    assert reasons[-1] == "certified"
    assert set(reasons[:-1]) == {"evidence_missing", "observe", "verdict"}
