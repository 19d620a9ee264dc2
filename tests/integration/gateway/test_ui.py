"""The dashboard's routes: who may read what, and under which headers."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

from router.app import create_app
from router.record.store import Store
from router.settings.keys import KeySettings
from router.settings.model import Settings
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway

KEY = {"authorization": "Bearer sk-shop-secret"}


async def test_the_page_comes_whole_and_guarded(tmp_path: Path) -> None:
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        page = await http.get("/ui")
        paths = re.findall(r'(?:src|href)="(ui/[^"]+)"', page.text)
        parts = [await http.get(f"/{path}") for path in paths]
        imports: set[str] = set()
        waiting = ["page.js"]
        while waiting:  # all that the browser will ask for
            part = await http.get(f"/ui/{waiting.pop()}")
            parts.append(part)
            found = set(re.findall(r'from "\./([^"]+)"', part.text)) - imports
            imports |= found
            waiting += found
        missing = await http.get("/ui/view.py")
    assert len(paths) == 4
    shipped = {path.name for path in files("router.ui").iterdir() if path.name.endswith(".js")}
    assert imports | {"page.js"} == shipped
    for answer in (page, *parts):
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert missing.status_code == 404
    # The policy allows neither of them, so they would silently do nothing.
    assert not re.search(r"<script>|<style>|\sstyle=|\son\w+=", page.text)
    texts = [part.text for part in parts]
    assert not any(re.search(r"innerHTML|insertAdjacentHTML|document\.write", t) for t in texts)
    outside = {url for text in texts for url in re.findall(r"https?://[^\"'\s]+", text)}
    assert outside == {"http://www.w3.org/2000/svg"}  # a name, never fetched


async def test_the_data_follows_the_traffic(tmp_path: Path) -> None:
    shop = {"workloads": [{"name": "shop", "promise": {"agreement": 0.95}}]}
    async with (
        FakeUpstream("card arrival") as up,
        gateway(tmp_path, up.base_url, **shop) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        before = await http.get("/ui/data")
        await client(base).chat.completions.create(model="auto", messages=MESSAGES)
        for _ in range(200):
            data = (await http.get("/ui/data?workload=shop")).json()
            if data["totals"]["interactions"]:
                break
            await asyncio.sleep(0.02)
        unknown = await http.get("/ui/data?workload=nowhere")
    assert before.headers["cache-control"] == "no-store"
    assert before.json()["totals"]["interactions"] == 0
    assert before.json()["standings"][0]["promise"]["agreement"] == 0.95
    assert data["totals"]["cost_each"] == {"usd": "0.00006", "text": "$0.0000600"}
    assert data["latest"][0]["text"] == "Where is my card?"
    assert data["latest"][0]["reason"] == "no_release"
    assert unknown.status_code == 404


async def test_another_website_reads_nothing(tmp_path: Path) -> None:
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        port = base.rsplit(":", 1)[1]
        rebound = await http.get("/ui/data", headers={"host": f"evil.example:{port}"})
        local = await http.get("/ui/data", headers={"host": f"localhost:{port}"})
        foreign = await http.get("/ui/data", headers={"origin": "https://evil.example"})
        asked = await http.options("/ui/data", headers={"origin": "https://evil.example"})
    assert rebound.status_code == 403
    assert rebound.json()["error"]["code"] == "foreign_host"
    assert local.status_code == 200
    assert asked.status_code == 405
    for answer in (local, foreign, asked):
        assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_with_keys_the_data_needs_one(tmp_path: Path) -> None:
    keys = {"keys": [{"name": "shop", "key_env": "SHOP_KEY"}]}
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url, **keys) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        answers = [
            await http.get("/ui"),
            await http.get("/ui/page.js"),
            await http.get("/ui/data"),
            await http.get("/ui/data", headers={"authorization": "Bearer sk-wrong"}),
            # Behind a proxy the gateway has another name; the key is the guard then.
            await http.get("/ui/data", headers=KEY | {"host": "gateway.example"}),
        ]
    assert [answer.status_code for answer in answers] == [200, 200, 401, 401, 200]


@pytest.mark.parametrize("tenants, status", [(("a", "a"), 200), (("a", "b"), 403)])
async def test_tenants_do_not_see_each_other(tenants: tuple[str, str], status: int) -> None:
    keys = tuple(
        KeySettings(name=f"k{n}", tenant=tenant, key_env=f"K{n}")
        for n, tenant in enumerate(tenants)
    )
    settings = Settings(keys=keys).with_secrets({"K0": "sk-zero", "K1": "sk-one"})
    app = create_app(settings, Store.open(":memory:"))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway.example") as http,
    ):
        answer = await http.get("/ui/data", headers={"authorization": "Bearer sk-one"})
        stranger = await http.get("/ui/data")
    assert answer.status_code == status
    assert stranger.status_code == 401
    if status == 403:
        assert "so it needs an admin key" in answer.json()["error"]["message"]


async def test_a_store_that_fails_is_told_in_a_sentence(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    app = create_app(Settings(), store)
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http,
    ):
        with sqlite3.connect(tmp_path / "t.db") as other:
            other.execute("ALTER TABLE cycles RENAME TO gone")
        other.close()
        answer = await http.get("/ui/data")
    assert answer.status_code == 503
    assert "lacks a table" in answer.json()["error"]["message"]
