"""Keys of the store as settings."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from router.auth import authenticate
from router.errors import StoreError, Unauthorized
from router.record.keys import StoredKey
from router.record.store import Store
from router.settings.check import check_settings
from router.settings.keys import KeySettings
from router.settings.model import Settings
from router.stored_keys import with_keys

KEY = StoredKey(
    name="shop",
    tenant="t",
    # Of the word "secret".
    sha256="2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
    budget_usd=Decimal(5),
    budget_per="week",
    tokens_per_minute=100,
)


def test_a_stored_key_is_a_caller_with_its_limits() -> None:
    settings = with_keys(Settings(), [KEY], at_s=0.0)
    (key,) = settings.keys
    assert key.budget is not None
    assert key.rate is not None
    assert (key.budget.usd, key.budget.per) == (5, "week")
    assert (key.rate.requests_per_minute, key.rate.tokens_per_minute) == (None, 100)
    assert authenticate(settings, {"x-api-key": "secret"}, "").tenant == "t"
    with pytest.raises(Unauthorized):
        authenticate(settings, {"x-api-key": "secrets"}, "")
    assert settings.digest == Settings().digest


def test_what_is_not_valid_lets_nobody_in() -> None:
    for gone in (replace(KEY, expires_at=10.0), replace(KEY, revoked_at=5.0)):
        settings = with_keys(Settings(), [gone], at_s=10.0)
        with pytest.raises(Unauthorized):
            authenticate(settings, {"x-api-key": "secret"}, "")
    assert with_keys(Settings(), [], at_s=10.0).keys == ()


def test_the_key_before_a_rotation_is_let_in_while_it_lasts() -> None:
    rotated = replace(KEY, sha256="0" * 64, previous_sha256=KEY.sha256, previous_until=10.0)
    scoped = replace(rotated, scopes=("model:auto",))
    caller = authenticate(with_keys(Settings(), [scoped], at_s=9.0), {"x-api-key": "secret"}, "")
    assert (caller.key_name, caller.scopes) == ("shop", ("model:auto",))
    with pytest.raises(Unauthorized):
        authenticate(with_keys(Settings(), [scoped], at_s=10.0), {"x-api-key": "secret"}, "")


def test_a_configured_key_goes_before_one_of_the_same_name() -> None:
    configured = KeySettings(name="shop", sha256="0" * 64)
    assert with_keys(Settings(keys=(configured,)), [KEY], at_s=0.0).keys == (configured,)


def test_the_store_keeps_them() -> None:
    store = Store.open(":memory:")
    kept = store.add_key(KEY)
    assert store.keys() == [kept]
    with pytest.raises(StoreError, match="a key 'shop' already"):
        store.add_key(KEY)
    assert len(with_keys(Settings(), store.keys(), at_s=0.0).keys) == 1
    store.revoke_key("shop")
    with pytest.raises(StoreError, match="no key 'shop' is in use"):
        store.revoke_key("shop")
    store.close()


@pytest.mark.parametrize(
    ("key", "where", "said"),
    [
        ("{name: a}", "keys[0].key_env", "is missing"),
        (f"{{name: a, key_env: A, sha256: {'0' * 64}}}", "keys[0].sha256", "keep one"),
    ],
)
def test_a_configured_key_is_named_in_one_way(key: str, where: str, said: str) -> None:
    text = f"models: {{teacher: {{upstream: 'http://h/v1', model: m}}}}\nkeys: [{key}]\n"
    found = [p for p in check_settings(text, {"A": "x"}) if p.severity == "error"]
    assert [p.key for p in found] == [where]
    assert said in found[0].message
