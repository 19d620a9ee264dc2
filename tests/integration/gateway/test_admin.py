"""The admin API: a running gateway, asked and changed over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from router.app import create_app
from router.record.model import Interaction
from router.record.store import Store
from router.settings.load import load_settings
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, SECRETS, client, gateway
from tests.integration.gateway.test_student import ask, promote, workload
from tests.unit.router.record.records import make_record

ADMIN_KEY = "sk-admin-secret"
SIGNED = {"author": "ada", "reason": "a test"}
SURE = "where is my parcel"
UNTRUSTED = workload(policy="threshold", threshold=1.0, audit={"max_share": 0.0})


@pytest.fixture(autouse=True)
def admin_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "ADMIN_KEY", ADMIN_KEY)


@asynccontextmanager
async def running(folder: Path, **more: Any) -> AsyncIterator[tuple[str, httpx.AsyncClient]]:
    """A gateway before a teacher that always says parcel, and a client below ``/admin/v1``."""
    async with (
        FakeUpstream("parcel") as up,
        gateway(folder, up.base_url, **more) as base,
        httpx.AsyncClient(base_url=f"{base}/admin/v1", timeout=30) as http,
    ):
        yield base, http


async def test_a_changed_threshold_changes_the_next_requests_route(tmp_path: Path) -> None:
    promote(tmp_path)
    async with running(tmp_path, **UNTRUSTED) as (base, http):
        before = await ask(base, SURE)
        changed = await http.put("/workloads/shop/policy", json=SIGNED | {"threshold": 0.5})
        between = await ask(base, SURE)
        (listed,) = (await http.get("/workloads")).json()["data"]
    # The next process begins where this one ended.
    async with running(tmp_path, **UNTRUSTED) as (base, http):
        restarted = await ask(base, SURE)
        back = await http.request("DELETE", "/workloads/shop/policy", json=SIGNED)
        after = await ask(base, SURE)
        again = await http.request("DELETE", "/workloads/shop/policy", json=SIGNED)
    tiers = [one.headers["x-tutelage-tier"] for one in (before, between, restarted, after)]
    assert tiers == ["teacher", "student", "student", "teacher"]
    found = changed.json()
    assert (found["version"], found["source"], found["policy"]) == (1, "admin", "threshold")
    assert (found["in_force"]["threshold"], found["file"]["threshold"]) == (0.5, 1.0)
    assert found["problem"] is None
    assert (listed["workload"], listed["policy_source"]) == ("shop", "admin")
    assert listed["standing"]["mode"] == "Serving drafts from confidence 0.50 on, no promise"
    history = back.json()["history"]
    assert [(one["version"], one["change"]) for one in history] == [
        (2, None),
        (1, {"threshold": 0.5}),
    ]
    assert {(one["author"], one["reason"]) for one in history} == {("ada", "a test")}
    assert back.json()["source"] == "file"
    assert again.status_code == 409


async def test_a_policy_stored_elsewhere_is_soon_in_force(tmp_path: Path) -> None:
    promote(tmp_path)
    async with running(tmp_path, **UNTRUSTED) as (base, _):
        await ask(base, SURE)
        other = Store.open(f"sqlite:///{tmp_path}/t.db")
        other.add_policy("shop", {"threshold": 0.5}, author="ada", reason="from another worker")
        other.close()
        tiers = []
        for _ in range(50):  # a second will do where nothing else keeps the cores
            tiers.append((await ask(base, SURE)).headers["x-tutelage-tier"])
            if tiers[-1] == "student":
                break
            await asyncio.sleep(0.1)
    assert tiers[-1] == "student"


async def test_promote_and_roll_back(tmp_path: Path) -> None:
    promote(tmp_path)
    async with running(tmp_path, **workload(policy="student", audit={"max_share": 0})) as (
        base,
        http,
    ):
        await ask(base, SURE)
        (release,) = (await http.get("/releases?workload=shop")).json()["data"]
        gone = await http.post("/workloads/shop/rollback", json=SIGNED)
        observed = await client(base).chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES
        )
        nothing = await http.post("/workloads/shop/rollback", json=SIGNED)
        url = f"/releases/{release['digest'][:12]}/promote"
        unsigned = await http.post(url, json={"author": "ada"})
        back = await http.post(url, json=SIGNED)
        served = await ask(base, SURE)
        unknown = await http.post("/releases/0123456789/promote", json=SIGNED)
        early = await http.get("/workloads/shop/frontier")
        nowhere = await http.get("/workloads/nobody/frontier")
    assert (release["workload"], release["state"], "path" in release) == ("shop", "active", False)
    assert gone.json() == {"workload": "shop", "release": None, "serving": None, "problem": None}
    assert observed.headers["x-tutelage-reason"] == "no_release"
    assert nothing.status_code == 409
    assert "no release in force" in nothing.json()["error"]["message"]
    assert (unsigned.status_code, unsigned.json()["error"]["param"]) == (400, "reason")
    assert back.json()["serving"] == release["digest"]
    assert served.headers["x-tutelage-tier"] == "student"
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "release_not_found")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "not_yet")
    assert "frontier needs 100" in early.json()["error"]["message"]
    assert nowhere.status_code == 404
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert store.release_events("shop")[-1].reason == "a test (ada)"
    store.close()


@pytest.mark.parametrize(
    "change, param, said",
    [
        ({"threshold": 2}, "threshold", "threshold must be at most 1."),
        ({"threshold": None}, "policy", "policy threshold needs a threshold"),
        ({"audit": {"max_shar": 0.9}}, "audit", "did you mean max_share?"),
        ({"policy": "nope"}, "policy", "nope is no policy"),
        ({"compare": "label"}, "compare", "'compare' is unknown"),
        ({}, None, "Give what is to change"),
    ],
)
def test_what_the_file_may_not_say_is_refused(
    tmp_path: Path, change: dict[str, Any], param: str | None, said: str
) -> None:
    with make_client(tmp_path, **UNTRUSTED) as http:
        answer = http.put("/admin/v1/workloads/shop/policy", json=SIGNED | change)
        kept = http.get("/admin/v1/workloads/shop/policy").json()
        missing = http.put("/admin/v1/workloads/nobody/policy", json=SIGNED | {"threshold": 1})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert said in answer.json()["error"]["message"]
    assert (kept["version"], kept["history"]) == (None, [])
    assert missing.status_code == 404


def make_client(folder: Path, **more: Any) -> TestClient:
    teacher = {
        "upstream": "http://127.0.0.1:9/v1",
        "model": "m",
        "price": {"input": 1, "output": 1},
    }
    config = folder / "tutelage.yaml"
    config.write_text(yaml.safe_dump({"models": {"teacher": teacher}, **more}))
    app = create_app(load_settings(config, SECRETS), Store.open(f"sqlite:///{folder}/t.db"))
    return TestClient(app, base_url="http://127.0.0.1:8080", raise_server_exceptions=False)


KEYS = {
    "keys": [
        {"name": "shop", "key_env": "SHOP_KEY", "budget": {"usd": 20, "per": "day"}},
        {"name": "bank", "key_env": "BANK_KEY", "rate": {"requests_per_minute": 9}},
    ]
}


def test_only_the_admin_key_opens_it(tmp_path: Path) -> None:
    with make_client(tmp_path, **KEYS, admin={"key_env": "ADMIN_KEY"}) as http:

        def status(path: str, **headers: str) -> int:
            return int(http.get(f"/admin/v1/{path}", headers=headers).status_code)

        for path in ("releases", "workloads", "keys", "budgets", "workloads/a/policy"):
            assert status(path) == 401
            assert status(path, authorization="Bearer sk-wrong") == 401
            assert status(path, authorization=f"Bearer {SECRETS['SHOP_KEY']}") == 403
        assert status("keys", authorization=f"Bearer {ADMIN_KEY}", host="elsewhere.example") == 200
        assert status("keys", **{"x-api-key": ADMIN_KEY}) == 200
        # It is no caller's key either.
        assert http.get("/v1/models", headers={"x-api-key": ADMIN_KEY}).status_code == 401


def test_without_an_admin_key_a_callers_is_never_enough(tmp_path: Path) -> None:
    with make_client(tmp_path, **KEYS) as http:
        for headers in ({}, {"x-api-key": SECRETS["SHOP_KEY"]}):
            answer = http.get("/admin/v1/keys", headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (
                403,
                "admin_key_required",
            )


def test_without_any_key_only_this_machine_is_answered(tmp_path: Path) -> None:
    with make_client(tmp_path) as http:
        assert http.get("/admin/v1/releases").json() == {"object": "list", "data": []}
        for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            assert http.get("/admin/v1/releases", headers=headers).status_code == 403


def test_keys_and_budgets_show_no_secret(tmp_path: Path) -> None:
    admin = {"authorization": f"Bearer {ADMIN_KEY}"}
    with make_client(tmp_path, **KEYS, admin={"key_env": "ADMIN_KEY"}) as http:
        keys = http.get("/admin/v1/keys", headers=admin)
        budgets = http.get("/admin/v1/budgets", headers=admin)
    assert [one["name"] for one in keys.json()["data"]] == ["shop", "bank"]
    (budget,) = budgets.json()["data"]
    assert (budget["key"], budget["usd"], budget["spent_usd"]) == ("shop", "20", "0")
    for secret in (*SECRETS, *SECRETS.values()):
        assert secret not in keys.text + budgets.text


def test_a_workloads_name_is_encoded_in_the_path(tmp_path: Path) -> None:
    named = {"workloads": [{"name": "ärger & mehr?", "policy": "threshold", "threshold": 0.9}]}
    with make_client(tmp_path, **named) as http:
        url = "/admin/v1/workloads/%C3%A4rger%20%26%20mehr%3F/policy"
        found = http.put(url, json=SIGNED | {"policy": "student"}).json()
    assert (found["workload"], found["policy"]) == ("ärger & mehr?", "student")


def test_a_changed_file_leaves_the_policy_over_it(tmp_path: Path) -> None:
    """The version in force is laid over what the file says now, until it goes back."""
    make_client(tmp_path, **UNTRUSTED)  # writes the file
    config = tmp_path / "tutelage.yaml"
    app = create_app(
        load_settings(config, SECRETS), Store.open(f"sqlite:///{tmp_path}/t.db"), config
    )
    url = "/admin/v1/workloads/shop/policy"
    with TestClient(app, base_url="http://127.0.0.1:8080") as http:
        http.put(url, json=SIGNED | {"threshold": 0.5})
        text = config.read_text()
        config.write_text(text.replace("max_share: 0.0", "max_share: 0.25"))
        until_s = time.monotonic() + 10
        while (found := http.get(url).json())["file"]["audit"]["max_share"] != 0.25:
            assert time.monotonic() < until_s, "the file was never taken up"
            time.sleep(0.1)
        back = http.request("DELETE", url, json=SIGNED).json()
    assert (found["in_force"]["threshold"], found["in_force"]["audit"]["max_share"]) == (0.5, 0.25)
    assert (back["in_force"]["threshold"], back["in_force"]["audit"]["max_share"]) == (1.0, 0.25)


def test_a_frontier_and_what_has_traffic_alone(tmp_path: Path) -> None:
    promote(tmp_path)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    digest = store.active_releases()["shop"]
    store.append(
        [make_record("i", created_at=time.time()), *(_drafted(n, digest) for n in range(120))]
    )
    store.close()
    with make_client(tmp_path, **workload(promise={"agreement": 0.9})) as http:
        url = "/admin/v1/workloads/shop/frontier"
        found = http.get(url, params={"usd_per_interaction": "0.00006"})
        odd = http.get(url, params={"usd_per_interaction": "much"})
        shop, support = http.get("/admin/v1/workloads").json()["data"]
    assert found.status_code == 200, found.text
    frontier = found.json()
    assert (frontier["drafts"], frontier["checked"], frontier["release"]) == (120, 120, digest)
    assert frontier["marks"].keys() >= {"in_force", "promise", "budget"}
    assert frontier["outlooks"][-1]["agreement"]["value"] == pytest.approx(0.75)
    assert (odd.status_code, odd.json()["error"]["param"]) == (400, "usd_per_interaction")
    assert (shop["policy"], shop["release"], shop["standing"]["serving"]) == (
        *("promise", digest),
        False,
    )
    assert shop["standing"]["promise"]["agreement"] == 0.9
    assert (support["workload"], support["name"], support["policy"]) == ("support", None, "teacher")


def _drafted(n: int, release: str) -> Interaction:
    """A draft that the teacher answered instead; one in four differs, wherever it lies."""
    return make_record(
        f"d{n}",
        created_at=time.time(),  # an older one is purged
        workload="shop",
        release=release,
        confidence=0.5 + n / 250,
        draft_agreed=n % 4 != 0,
        draft={"content": "parcel"},
    )


def test_each_tenant_has_a_standing_of_its_own(tmp_path: Path) -> None:
    sections = KEYS | workload(promise={"agreement": 0.9}) | {"admin": {"key_env": "ADMIN_KEY"}}
    with make_client(tmp_path, **sections) as http:
        listed = http.get("/admin/v1/workloads", headers={"x-api-key": ADMIN_KEY}).json()["data"]
    assert [(one["workload"], one["name"]) for one in listed] == [
        ("shop@bank", "shop"),
        ("shop@shop", "shop"),
    ]
    assert all(one["standing"]["promise"]["trials"] == 0 for one in listed)
