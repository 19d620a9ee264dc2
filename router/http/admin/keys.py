"""Callers' keys and what is left of their budgets; never a secret."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

from starlette.requests import Request

from router.deps import Deps
from router.limits.budgets import list_budgets
from router.limits.model import window_of
from router.meter.money import plain_usd


async def list_keys(request: Request) -> dict[str, Any]:
    """Each key with its tenant and its limits."""
    deps: Deps = request.app.state.deps
    shown = {"name", "tenant", "train_on", "budget", "rate", "scopes"}
    data = [key.model_dump(mode="json", include=shown) for key in deps.settings.keys]
    return {"object": "list", "data": data}


async def list_all_budgets(request: Request) -> dict[str, Any]:
    """Of each one the limit, what is spent and what is set aside, in USD as decimal strings, in the
    period that is running, which ends at ``ends_at``. ``kind``: key, workload or all."""
    deps: Deps = request.app.state.deps
    tenants = {key.name: key.tenant for key in deps.settings.keys}
    data = []
    for budget in list_budgets(deps.settings):
        if deps.door is None:
            continue
        spent, held = await deps.door.spent(budget)
        of = {} if budget.kind == "all" else {str(budget.kind): budget.subject}
        if budget.kind == "key":
            of["tenant"] = tenants[budget.subject]
        data.append(
            {
                "kind": budget.kind,
                **of,
                "per": budget.per,
                "usd": plain_usd(budget.usd),
                "spent_usd": plain_usd(spent),
                "held_usd": plain_usd(held),
                "left_usd": plain_usd(max(budget.usd - spent - held, Decimal(0))),
                "ends_at": window_of(budget.per, time.time())[1],
            }
        )
    return {"object": "list", "data": data}
