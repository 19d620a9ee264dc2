"""Callers' keys and what is left of their budgets; never a secret."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from starlette.requests import Request

from router.deps import Deps
from router.limits.model import window_of
from router.meter.money import plain_usd


async def list_keys(request: Request) -> dict[str, Any]:
    """Each key with its tenant and its limits."""
    deps: Deps = request.app.state.deps
    shown = {"name", "tenant", "train_on", "budget", "rate"}
    data = [key.model_dump(mode="json", include=shown) for key in deps.settings.keys]
    return {"object": "list", "data": data}


async def list_budgets(request: Request) -> dict[str, Any]:
    """Of each key that has one: the limit, what is spent and what is set aside, in USD as decimal
    strings, in the period that is running, which ends at ``ends_at``."""
    deps: Deps = request.app.state.deps
    data = []
    for key in deps.settings.keys:
        if key.budget is None or deps.door is None:
            continue
        spent, held = await deps.door.spent(key)
        data.append(
            {
                "key": key.name,
                "tenant": key.tenant,
                "per": key.budget.per,
                "usd": plain_usd(key.budget.usd),
                "spent_usd": plain_usd(spent),
                "held_usd": plain_usd(held),
                "left_usd": plain_usd(max(key.budget.usd - spent - held, Decimal(0))),
                "ends_at": window_of(key.budget.per, time.time())[1],
            }
        )
    return {"object": "list", "data": data}
