"""The admin API's interactions, cycles and spending, and the operator's feedback, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from router.record.store import Store
from tests.browser.steered import ASKED_USD, COUNT, CURVE, STRICT, seed_log
from tests.integration.gateway.test_admin import ADMIN_KEY, running
from tests.integration.gateway.test_gateway import SECRETS

OPERATOR = {"x-api-key": ADMIN_KEY}


@pytest.fixture(autouse=True)
def admin_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "ADMIN_KEY", ADMIN_KEY)


async def test_interactions_are_found_page_by_page(tmp_path: Path) -> None:
    seed_log(tmp_path)
    async with running(tmp_path, **STRICT) as (_, http):
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = (await http.get(f"/interactions?tier=student&limit=40{after}")).json()
            found += page["data"]
            if page["next"] is None:
                break
            after = f"&before={page['next']}"
        refused = [
            (await http.get(f"/interactions?{query}")).json()["error"]
            for query in (
                "tier=nobody",
                "limit=0",
                "least_usd=x",
                "most_usd=-1",
                "disagreed=yes",
                "before=last",
            )
        ]
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    expected = [row for row in store.latest(COUNT) if row.tier == "student"]
    store.close()
    assert [one["id"] for one in found] == [row.id for row in expected]
    assert {one["cost_usd"] for one in found} == {"0", str(ASKED_USD)}
    assert "below_threshold" in page["reasons"]
    assert [one["param"] for one in refused] == [
        "tier",
        "limit",
        "least_usd",
        "most_usd",
        "disagreed",
        "before",
    ]


async def test_another_policy_is_tried_on_a_recorded_request(tmp_path: Path) -> None:
    seed_log(tmp_path)
    async with running(tmp_path, **STRICT) as (_, http):
        listed = (await http.get("/interactions?tier=teacher&disagreed=draft&limit=1")).json()
        url = f"/interactions/{listed['data'][0]['id']}"
        told = (await http.get(url)).json()
        planned = [
            (await http.post(f"{url}/decide", json=body)).json()
            for body in (
                {"policy": "teacher"},
                {"policy": "student"},
                {"policy": "threshold", "threshold": 0.0},
                {"policy": "threshold", "threshold": 1.0},
            )
        ]
        refused = [
            await http.post(f"{url}/decide", json=body)
            for body in ({"policy": "promise"}, {"policy": "threshold", "threshold": 2}, [])
        ]
        unknown = await http.get("/interactions/int_none")
        policy = (await http.get("/workloads/shop/policy")).json()
    assert (told["tier"], told["recorded"]["draft_agreed"]) == ("teacher", False)
    assert told["recorded"]["attempts"][0]["cost_usd"] == str(ASKED_USD)
    assert (told["standing"], told["feedback"]) == (None, None)
    assert [one["tier"] for one in planned] == ["teacher", "student", "student", "teacher"]
    assert planned[3]["threshold"] == 1.0
    assert [one.status_code for one in refused] == [400, 400, 400]
    assert unknown.status_code == 404
    assert policy["history"] == []


async def test_cycles_releases_and_spending(tmp_path: Path) -> None:
    digest = seed_log(tmp_path)
    async with running(tmp_path, **STRICT) as (_, http):
        cycles = (await http.get("/cycles?workload=shop")).json()
        releases = (await http.get("/releases")).json()["data"]
        spent = (await http.get("/spending?days=7")).json()["data"]
        refused = await http.get("/spending?days=0")
        frontier = (await http.get("/workloads/shop/frontier?newest=200")).json()
        none = await http.get("/workloads/shop/frontier?newest=none")
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    seen = [row for row in store.latest(COUNT) if row.seen]
    store.close()
    assert [one["outcome"] for one in cycles["data"]] == [None, "rejected", "promoted"]
    assert cycles["data"][1]["detail"]["dataset"]["dropped"]["duplicate"] == 33
    assert cycles["answers"] == {"shop": len(seen)}
    assert releases[0]["digest"] == digest
    assert [event["action"] for event in releases[1]["events"]] == ["promoted", "retired"]
    (line,) = spent
    assert (line["attempts"], line["usd"]) == (len(seen), str(len(seen) * ASKED_USD))
    assert refused.status_code == 400
    assert frontier["interactions"] == 200
    assert none.status_code == 400


async def test_what_was_learned_names_questions_by_what_is_still_stored(tmp_path: Path) -> None:
    seed_log(tmp_path)
    async with running(tmp_path, **STRICT) as (_, http):
        (learned,) = (await http.get("/learned")).json()["data"]
        none = (await http.get("/learned?workload=other")).json()["data"]
        newest, rejected, _ = (await http.get("/cycles")).json()["data"]
        asked = (await http.get("/interactions?limit=200")).json()["data"]
    texts = {one["id"]: one["text"] for one in asked}
    assert (learned["workload"], learned["cycle"]) == ("shop", rejected["id"])
    assert (learned["curve"], learned["earlier"]) == (CURVE, [CURVE[1]])
    examples = [one["examples"] for one in learned["clusters"]]
    assert examples == [[{"id": "int_0590", "text": texts["int_0590"]}], []]
    assert none == []
    assert newest["detail"]["progress"]["step"] == 2
    assert "clusters" not in rejected["detail"]


async def test_the_operator_judges_everybodys_answers_and_sees_all(tmp_path: Path) -> None:
    seed_log(tmp_path, key_name="shop", tenant="shop")
    keys = [{"name": name, "key_env": f"{name.upper()}_KEY"} for name in ("shop", "bank")]
    said = {"id": "int_0001", "score": 1}
    async with (
        running(tmp_path, keys=keys, admin={"key_env": "ADMIN_KEY"}, **STRICT) as (base, _),
        httpx.AsyncClient(base_url=base) as http,
    ):
        bank = {"x-api-key": SECRETS["BANK_KEY"]}
        anothers = await http.post("/v1/feedback", json=said, headers=bank)
        judged = await http.post("/v1/feedback", json=said, headers=OPERATOR)
        views = [await http.get("/ui/data", headers=headers) for headers in ({}, bank, OPERATOR)]
        closed = await http.get("/admin/v1/interactions", headers=bank)
        chat = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
        no_caller = await http.post("/v1/chat/completions", json=chat, headers=OPERATOR)
    assert (anothers.status_code, judged.status_code) == (404, 200)
    assert [one.status_code for one in views] == [401, 403, 200]
    assert views[1].json()["error"]["code"] == "admin_key_required"
    assert (closed.status_code, no_caller.status_code) == (403, 401)
