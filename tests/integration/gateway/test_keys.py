"""Keys that are created and revoked while the gateway runs."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest

from router.cli import main
from router.record.store import Store
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway


@pytest.fixture
def keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    monkeypatch.setenv("SHOP_KEY", "sk-shop-secret")

    def run(*words: str) -> dict[str, Any]:
        assert main(["keys", *words, "--config", str(tmp_path / "tutelage.yaml"), "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    return run


async def is_let_in(base: str, key: str) -> bool:
    async with client(base, key) as asking:
        try:
            await asking.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "hello"}]
            )
        except openai.AuthenticationError:
            return False
    return True


async def until(base: str, key: str, *, wanted: bool) -> bool:
    """Soon it is so."""
    for _ in range(200):
        if await is_let_in(base, key) is wanted:
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_key_is_let_in_until_it_is_revoked(tmp_path: Path, keys: Any) -> None:
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url) as base:
        assert await is_let_in(base, "anything")  # without keys, on this machine
        made = keys("create", "shop", "--tenant", "t", "--train-on")
        assert await until(base, "anything", wanted=False)
        assert await is_let_in(base, made["key"])
        other = keys("create", "other", "--requests-per-minute", "1")
        assert await until(base, other["key"], wanted=True)
        with pytest.raises(openai.RateLimitError):
            await is_let_in(base, other["key"])
        keys("revoke", "shop")
        keys("revoke", "other")
        assert await until(base, made["key"], wanted=False)
        assert not await is_let_in(base, "anything")  # a gateway that had keys stays closed
    listed = keys("list")["keys"]
    assert [(key["name"], key["revoked_at"] is None) for key in listed] == [
        ("other", False),
        ("shop", False),
    ]
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    records = store.latest(500)
    assert {record.key_name for record in records} == {"", "shop", "other"}
    assert {record.train_ok for record in records if record.key_name == "shop"} == {True}
    store.close()
    assert made["key"].encode() not in (tmp_path / "t.db").read_bytes()


async def test_a_rotated_key_overlaps_the_one_before_and_keeps_its_scopes(
    tmp_path: Path, keys: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url) as base:
        first = keys("create", "shop", "--scope", "endpoint:chat/*", "--scope", "model:auto")
        assert first["scopes"] == ["endpoint:chat/*", "model:auto"]
        assert await until(base, "anything", wanted=False)
        second = keys("rotate", "shop", "--overlap-hours", "1")
        assert await until(base, second["key"], wanted=True)
        assert await is_let_in(base, first["key"])
        async with client(base, second["key"]) as asking:
            with pytest.raises(openai.PermissionDeniedError, match="endpoint embeddings"):
                await asking.embeddings.create(model="auto", input="hello")
        third = keys("rotate", "shop")
        assert await until(base, second["key"], wanted=False)
        assert await is_let_in(base, third["key"])
        assert not await is_let_in(base, first["key"])
    config = str(tmp_path / "tutelage.yaml")
    assert main(["keys", "rotate", "nobody", "--config", config]) == 1
    with pytest.raises(SystemExit):
        main(["keys", "create", "other", "--scope", "chat", "--config", config])
    capsys.readouterr()
    assert main(["keys", "list", "--config", config]) == 0
    assert "shop (tenant shop): endpoint:chat/*, model:auto, not learned" in capsys.readouterr().out


async def test_keys_of_the_configuration_and_of_the_store_stand_side_by_side(
    tmp_path: Path, keys: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configured = {"keys": [{"name": "shop", "key_env": "SHOP_KEY"}]}
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url, **configured) as base:
        made = keys("create", "extra", "--budget-usd", "1", "--per", "month", "--days", "1")
        assert await until(base, made["key"], wanted=True)
        assert await is_let_in(base, "sk-shop-secret")
    config = str(tmp_path / "tutelage.yaml")
    assert main(["keys", "create", "shop", "--config", config]) == 2
    assert main(["keys", "create", "extra", "--config", config]) == 1
    assert main(["keys", "revoke", "shop", "--config", config]) == 2
    assert main(["keys", "revoke", "nobody", "--config", config]) == 1
    assert "no key 'nobody' is in use" in capsys.readouterr().err
    assert main(["keys", "list", "--config", config]) == 0
    said = capsys.readouterr().out
    assert "shop (tenant shop): in the configuration" in said
    assert "extra (tenant extra): $1.00 a month, until 20" in said
