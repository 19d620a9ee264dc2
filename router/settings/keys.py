"""Who may call, for how much and how fast, and what money may be spent at all."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from router.settings.values import Count, Section, Text, refuse_bool

Usd = Annotated[
    Decimal, BeforeValidator(refuse_bool), Field(ge=0, le=1_000_000, allow_inf_nan=False)
]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class KeyBudget(Section):
    """So much may be spent in a calendar period, UTC."""

    usd: Usd
    per: Literal["hour", "day", "week", "month"] = "day"


class BudgetSettings(KeyBudget):
    """A budget of everything, of one workload (of all tenants), or another one of a key."""

    workload: Text | None = None
    key: Text | None = None


class KeyRate(Section):
    """How fast a key may ask; tokens count both ways and are paid after the answer."""

    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None


class KeySettings(Section):
    """A caller. ``key_env`` names the environment variable that holds the key; ``sha256``: its
    digest in hexadecimal, instead of that; ``also_sha256``: of further keys that are this caller's,
    such as the one before a rotation. ``scopes``: what it may use, everything where there is none:
    see ``router.scopes``."""

    name: Text
    tenant: Text = Field(default_factory=lambda given: given.get("name", ""))
    key_env: Text | None = None
    sha256: Digest | None = None
    also_sha256: tuple[Digest, ...] = ()
    scopes: tuple[Text, ...] = ()
    budget: KeyBudget | None = None
    rate: KeyRate | None = None
    train_on: bool = False


class AdminSettings(Section):
    """``key_env`` names the environment variable that holds the admin API's key."""

    key_env: Text
