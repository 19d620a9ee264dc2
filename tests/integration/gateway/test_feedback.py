"""Feedback as a client gives it, to a real gateway over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.record.model import Corrected
from router.record.store import Store
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway
from tests.unit.router.record.records import make_record

KEYS = [{"name": "shop", "key_env": "SHOP_KEY", "train_on": True}]
AUTH = {"authorization": "Bearer sk-shop-secret"}


async def ask(base: str, **options: Any) -> str:
    """The id of an answered interaction, once it is in the store."""
    raw = await client(base, "sk-shop-secret").chat.completions.with_raw_response.create(
        model="auto", messages=MESSAGES, user="jo@example.com", extra_body={"tutelage": options}
    )
    name: str = raw.headers["x-tutelage-id"]
    async with httpx.AsyncClient(headers=AUTH) as http:
        for _ in range(1000):
            if (await http.get(f"{base}/v1/interactions/{name}")).status_code == 200:
                return name
            await asyncio.sleep(0.02)
    raise AssertionError("it was never settled")


def corrected(folder: Path) -> list[Corrected]:
    store = Store.open(f"sqlite:///{folder}/t.db")
    found = [one for name in store.workloads() for one in store.corrected(name)]
    store.close()
    return found


async def test_feedback_is_stored_once_redacted_and_its_user_has_no_name(tmp_path: Path) -> None:
    async with (
        FakeUpstream("card arrival") as up,
        gateway(tmp_path, up.base_url, keys=KEYS, data={"redact": ["email"]}) as base,
        httpx.AsyncClient(base_url=base, headers=AUTH) as http,
    ):
        name = await ask(base)
        said = {"id": name, "score": -1, "correction": "ask jo@example.com", "label": "wrong"}
        first = await http.post("/v1/feedback", json=said)
        again = await http.post("/v1/feedback", json=said)
    assert first.status_code == 200
    assert first.json() == again.json()
    told = first.json()
    assert (told["id"], told["object"], told["correction"]) == (name, "feedback", "ask [email]")
    (found,) = corrected(tmp_path)
    assert (found.id, found.key_name, found.feedback.score) == (name, "shop", -1.0)
    assert "example" not in str(found)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert store.erase_user("jo@example.com") == [name]
    store.close()


async def test_what_is_not_ones_own_or_not_kept_or_malformed_is_refused(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    store.append([make_record("theirs", key_name="else", created_at=2e9)])
    store.close()
    async with (
        FakeUpstream("card arrival") as up,
        gateway(tmp_path, up.base_url, keys=KEYS) as base,
        httpx.AsyncClient(base_url=base, headers=AUTH) as http,
    ):
        name, unstored = await ask(base), await ask(base, store=False)
        cases: list[tuple[dict[str, Any], int, str, str | None]] = [
            ({"id": "theirs", "score": 1}, 404, "interaction_not_found", "id"),
            ({"id": "nope", "score": 1}, 404, "interaction_not_found", "id"),
            ({"id": unstored, "correction": "x"}, 400, "interaction_not_stored", "correction"),
            ({"score": 1}, 400, "missing_required_parameter", "id"),
            ({"id": name}, 400, "missing_required_parameter", "score"),
            ({"id": name, "score": 1.5}, 400, "invalid_value", "score"),
            ({"id": name, "score": True}, 400, "invalid_type", "score"),
            ({"id": name, "correction": ["x"]}, 400, "invalid_type", "correction"),
            ({"id": name, "correction": " "}, 400, "invalid_value", "correction"),
            ({"id": name, "label": {"a": 1}}, 400, "invalid_type", "label"),
            ({"id": name, "stars": 5}, 400, "unknown_parameter", "stars"),
        ]
        for body, status, code, param in cases:
            answer = await http.post("/v1/feedback", json=body)
            error = answer.json()["error"]
            assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
            assert set(error) == {"message", "type", "param", "code"}
        assert (await http.post("/v1/feedback", json={"id": unstored, "score": 1})).is_success
        assert (await http.post("/v1/feedback", content=b"{")).status_code == 400
        nobody = await http.post("/v1/feedback", json={}, headers={"authorization": "Bearer x"})
    assert nobody.status_code == 401
    assert [one.feedback.label for one in corrected(tmp_path)] == []


@pytest.mark.parametrize("label", ["order", 4, True])
async def test_labels_are_kept_as_they_are(tmp_path: Path, label: Any) -> None:
    async with (
        FakeUpstream("card arrival") as up,
        gateway(tmp_path, up.base_url, keys=KEYS) as base,
        httpx.AsyncClient(base_url=base, headers=AUTH) as http,
    ):
        body = {"id": await ask(base), "label": label}
        assert (await http.post("/v1/feedback", json=body)).json()["label"] == label
    assert corrected(tmp_path)[0].feedback.label == label
