"""A key with scopes is refused everything else, at every address."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from starlette.routing import Route

from router.app import create_app
from router.http.chat import PARSERS
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import SECRETS, gateway
from tests.integration.gateway.test_limits import KEY

OPEN = ("/health/", "/openapi.json", "/ui/", "/admin/")
"""Without a caller's key: probes, the page's own files, and what the admin key opens."""

BODY = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


def keys(*scopes: str) -> dict[str, object]:
    return {"keys": [{"name": "shop", "key_env": "SHOP_KEY", "scopes": list(scopes)}]}


async def test_no_address_forgets_the_scope_of_the_endpoint(tmp_path: Path) -> None:
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url, **keys("endpoint:ui")) as base:
        settings = load_settings(tmp_path / "tutelage.yaml", SECRETS)
        store = Store.open(settings.store.url)
        routes = [one for one in create_app(settings, store).routes if isinstance(one, Route)]
        addresses = [(m, one.path) for one in routes for m in one.methods or ()]
        addresses += [("POST", path) for path in PARSERS]
        store.close()
        asked = 0
        async with httpx.AsyncClient(base_url=base, headers={"x-api-key": KEY}) as asking:
            for method, given in addresses:
                path = re.sub(r"\{[^}]*\}", "x", given)
                if path.startswith(OPEN) or path == "/ui" or method == "HEAD":
                    continue
                answer = await asking.request(method, path, json=BODY)
                found = answer.status_code, answer.json()["error"]
                assert found[0] == 403, (method, path)
                assert "has no scope for the endpoint" in found[1]["message"], (method, path)
                asked += 1
        assert asked > 15
        assert up.requests == []


async def test_models_and_workloads_outside_the_scope_are_refused(tmp_path: Path) -> None:
    scopes = keys("model:auto", "model:shop-*", "workload:mine")
    workloads = [{"name": "mine", "match": {"system_prompt": "Sort*"}}]
    async with (
        FakeUpstream() as up,
        gateway(tmp_path, up.base_url, workloads=workloads, **scopes) as base,
        httpx.AsyncClient(base_url=f"{base}/v1", headers={"x-api-key": KEY}) as asking,
    ):
        sort = [{"role": "system", "content": "Sort this."}, *BODY["messages"]]
        listed = (await asking.get("/models")).json()["data"]
        assert [one["id"] for one in listed] == ["auto", "shop-model"]
        assert (await asking.get("/models/teacher")).status_code == 404
        good = {"model": "shop-model", "messages": sort}
        assert (await asking.post("/chat/completions", json=good)).status_code == 200
        pinned = await asking.post("/chat/completions", json={**good, "model": "teacher"})
        assert (pinned.status_code, pinned.json()["error"]["code"]) == (404, "model_not_found")
        counted = await asking.post("/messages/count_tokens", json={**good, "model": "teacher"})
        assert counted.status_code == 404
        for body in (BODY, {**good, "tutelage": {"workload": "theirs"}}):
            other = await asking.post("/chat/completions", json=body)
            assert (other.status_code, other.json()["error"]["code"]) == (403, "missing_scope")
        named = {**BODY, "tutelage": {"workload": "mine"}}
        assert (await asking.post("/chat/completions", json=named)).status_code == 200
        assert len(up.requests) == 2
