"""Without keys, a foreign website in the operator's browser gets nothing and spends nothing."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import gateway

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize(
    "headers, code",
    [
        ({"host": "evil.example:8080"}, "foreign_host"),
        ({"host": ""}, "foreign_host"),
        ({"origin": "https://evil.example", "content-type": "text/plain"}, "foreign_origin"),
        ({"origin": "null"}, "foreign_origin"),
    ],
)
async def test_a_foreign_website_is_refused(
    headers: dict[str, str], code: str, tmp_path: Path
) -> None:
    async with FakeUpstream("hi") as upstream, gateway(tmp_path, upstream.base_url) as base_url:
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{base_url}/v1/chat/completions", json=BODY, headers=headers
            )
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
        assert not upstream.requests


async def test_a_page_of_this_machine_is_answered(tmp_path: Path) -> None:
    async with FakeUpstream("hi") as upstream, gateway(tmp_path, upstream.base_url) as base_url:
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{base_url}/v1/chat/completions",
                json=BODY,
                headers={"origin": "http://localhost:3000"},
            )
        assert answer.status_code == 200
