"""Callers' keys and what is left of their budgets; never a secret."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from router.deps import Deps
from router.errors import BadRequest
from router.limits.budgets import list_budgets
from router.limits.model import window_of
from router.meter.money import plain_usd

_DAY_S: Final = 86_400.0
_MOST_DAYS: Final = 3650
_USUAL_DAYS: Final = 30


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


async def list_spending(request: Request) -> dict[str, Any]:
    """What was spent in the last ``?days=`` (30), by key and workload, the dearest first.

    ``unknown``: attempts whose cost isn't known and isn't in it.
    """
    deps: Deps = request.app.state.deps
    text = request.query_params.get("days") or str(_USUAL_DAYS)
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_DAYS:
        message = f"'days' must be a whole number from 1 to {_MOST_DAYS}."
        raise BadRequest(message, param="days", code="invalid_value")
    since = time.time() - int(text) * _DAY_S
    data = [
        {
            "key": one.key_name,
            "tenant": one.tenant,
            "workload": one.workload,
            "attempts": one.attempts,
            "usd": plain_usd(one.cost_usd),
            "unknown": one.unknown,
        }
        for one in await run_in_threadpool(deps.store.spent_since, since)
    ]
    return {"object": "list", "since": since, "data": data}
