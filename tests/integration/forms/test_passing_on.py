"""Where client and upstream speak the same form, nothing is lost; nor is what nobody knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from router.testing import FakeUpstream
from tests.integration.forms.gateways import Served, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")

MESSAGES: dict[str, Any] = {
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "Sort.", "cache_control": {"type": "ephemeral"}}],
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "a"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"x": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "1"}]},
    ],
    "tools": [{"name": "f", "input_schema": {"type": "object"}}, {"type": "bash_20250124"}],
    "context_management": {"edits": []},
}
RESPONSES: dict[str, Any] = {
    "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}],
    "include": ["reasoning.encrypted_content"],
    "tools": [{"type": "web_search"}],
    "x_unknown": {"deep": [1]},
}
HEADERS = {"anthropic-version": "2023-06-01", "anthropic-beta": "files-api-2025-04-14"}


@pytest.mark.parametrize(
    ("path", "model", "upstream_model", "body"),
    [
        ("messages", "claude", "claude-big", MESSAGES),
        ("responses", "teacher", "big-70b", RESPONSES),
    ],
)
async def test_bytes_pass_through_both_ways(
    served: Served,
    up: FakeUpstream,
    path: str,
    model: str,
    upstream_model: str,
    body: dict[str, Any],
) -> None:
    whole = await served.http.post(f"/{path}", json={**body, "model": model}, headers=HEADERS)
    asked = {**body, "stream": True}
    through = await served.http.post(f"/{path}", json={**asked, "model": model})
    async with httpx.AsyncClient(base_url=up.base_url) as direct:
        straight = await direct.post(f"/{path}", json={**asked, "model": upstream_model})
    seen = up.requests[0]
    assert seen.path == f"/v1/{path}"
    assert seen.body == {**body, "model": upstream_model}
    assert whole.content == up.sent[0]
    assert whole.headers["x-tutelage-tier"] == "teacher"
    # The stand-in numbers its answers.
    assert through.content.replace(b"fake-2", b"fake-3") == straight.content
    if path == "messages":
        assert {key: seen.headers[key] for key in HEADERS} == HEADERS
        assert seen.headers["x-api-key"] == "sk-shop-secret"
        assert "authorization" not in seen.headers


async def test_a_form_that_the_upstream_doesnt_speak_is_translated(
    served: Served, up: FakeUpstream
) -> None:
    body = {key: value for key, value in MESSAGES.items() if key != "tools"}
    await served.http.post("/messages", json={**body, "model": "teacher"})
    await served.http.post("/responses", json={"input": "a", "model": "claude", "x": 1})
    chat, messages = up.requests
    assert chat.path == "/v1/chat/completions"
    assert chat.body == {
        "model": "big-70b",
        "messages": [
            {"role": "system", "content": "Sort."},
            {"role": "user", "content": "a"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "t1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"x": 1}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "t1", "content": "1"},
        ],
        "max_completion_tokens": 2000,
        "reasoning_effort": "low",
        "context_management": {"edits": []},
    }
    assert messages.path == "/v1/messages"
    assert messages.body == {
        "model": "claude-big",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
        "max_tokens": 8192,
        "x": 1,
    }


async def test_what_hangs_on_the_teachers_server_is_pinned_to_it(
    served: Served, up: FakeUpstream
) -> None:
    follow = {"input": "and then?", "previous_response_id": "resp_1"}
    stored = await served.http.post("/responses", json={"input": "a"})
    followed = await served.http.post("/responses", json={"model": "auto", **follow})
    refused = await served.http.post("/responses", json={"model": "claude", **follow})
    free = await served.http.post("/responses", json={"input": "a", "store": False})
    assert stored.headers["x-tutelage-reason"] == "server_state"
    assert followed.headers["x-tutelage-reason"] == "server_state"
    assert up.requests[1].body == {"model": "big-70b", **follow}
    assert refused.status_code == 400
    assert free.headers["x-tutelage-reason"] != "server_state"


async def test_tenants_share_no_state_at_the_teachers_server(tmp_path: Path) -> None:
    keys = [{"name": name, "key_env": f"{name.upper()}_KEY"} for name in ("shop", "bank")]
    auth = {"authorization": "Bearer sk-shop-secret"}
    async with FakeUpstream("fine") as up, serve(tmp_path, up, keys=keys) as served:
        follow = {"input": "and then?", "previous_response_id": "resp_1"}
        followed = await served.http.post("/responses", json=follow, headers=auth)
        read = await served.http.get("/responses/resp_1", headers=auth)
        fresh = await served.http.post("/responses", json={"input": "a"}, headers=auth)
    assert (followed.status_code, read.status_code, fresh.status_code) == (403, 403, 200)
    assert followed.json()["error"]["code"] == "server_state_closed"
    assert len(up.requests) == 1


@pytest.mark.parametrize("name", ["..", "a%2Fb", "a%3Fb", "%2e%2e"])
async def test_no_other_address_of_the_upstream_can_be_reached(
    served: Served, up: FakeUpstream, name: str
) -> None:
    found = await served.http.get(f"/responses/{name}/input_items")
    assert found.status_code == 404
    assert not up.requests
