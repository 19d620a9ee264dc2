"""What a request must pass before anything is asked, and what it gives back at its end."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Any

from router.auth import Caller
from router.billing import MOST_COMPLETION_TOKENS, count_tokens_allowed, hold_for
from router.errors import ApiError, StoreError
from router.limits.budgets import Budget, find_budgets, list_budgets
from router.limits.keeper import Hold, Limits, Rates
from router.meter.metrics import Metrics
from router.record.model import Interaction
from router.settings.model import ModelSettings, Settings, WorkloadSettings
from router.wire.form import Form, Native
from router.wire.openai import ChatRequest
from router.wire.written_json import write_json
from router.workload import find_workload, name_workload

_log = logging.getLogger("tutelage.limits")

_FEWEST_COMPLETION_TOKENS = 256
"""An answer is rather refused than cut shorter than this, or than half of what was allowed."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A request that was let in. ``headers``: what its key's rates leave; ``hold``: what was set
    aside for it, None where its key has no budget."""

    headers: Mapping[str, str] = field(default_factory=dict)
    rates: Rates | None = None
    hold: Hold | None = None


class Door:
    """Lets requests in as budgets and rates allow. Used from one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._leaving: set[asyncio.Task[None]] = set()
        self._name = secrets.token_hex(8)  # other processes may hold parts of the same budgets
        self._numbers = count()

    async def enter(
        self, settings: Settings, request: ChatRequest, caller: Caller
    ) -> tuple[ChatRequest, Entry]:
        """The request, its output capped to what could be set aside, and its entry.

        Raises RateLimited or QuotaExceeded; 503 where the limits are kept elsewhere and can't be
        reached.
        """
        key = next((one for one in settings.keys if one.name == caller.key_name), None)
        budgets = find_budgets(settings, key, lambda: _name_configured(settings, request, caller))
        rate = None if key is None else key.rate
        if rate is None and not budgets:
            return request, Entry()
        rates = None
        headers: Mapping[str, str] = {}
        if rate is not None:
            rates = Rates(
                name=caller.key_name,
                requests_per_minute=rate.requests_per_minute,
                tokens_per_minute=rate.tokens_per_minute,
            )
            headers = await self._limits.pace(rates)
        if not budgets:
            return request, Entry(headers=headers, rates=rates)
        drafters = _find_drafters(settings, request, caller)
        request, hold = await self._hold(settings, request, budgets, drafters)
        return request, Entry(headers=headers, rates=rates, hold=hold)

    async def _hold(
        self,
        settings: Settings,
        request: ChatRequest,
        budgets: Sequence[Budget],
        drafters: Sequence[ModelSettings],
    ) -> tuple[ChatRequest, Hold | None]:
        models = _chain(settings, request.model)
        if not models:
            return request, None  # refused behind the door
        choices = request.n if request.form is not Form.EMBEDDINGS else 0
        allowed = count_tokens_allowed(request.body)
        most_tokens = MOST_COMPLETION_TOKENS if allowed is None else allowed
        least_tokens = _FEWEST_COMPLETION_TOKENS if allowed is None else max(allowed // 2, 1)

        # Also tools, schemas and pictures are paid for; bytes, since some scripts have few letters.
        size = len(write_json(request.body))

        def expect(tokens: int) -> Decimal | None:
            """USD at most: every draft and the dearest model that may answer; None without a price
            of one that may. A draft without one counts as free."""
            costs = [hold_for(tokens * choices, size, model.price) for model in models]
            known = [cost for cost in costs if cost is not None]
            drafted = [hold_for(tokens * choices, size, model.price) for model in drafters]
            asked = sum(sorted(known)[-_asked_at_once(models) :], Decimal(0))
            drafts = sum((cost for cost in drafted if cost is not None), Decimal(0))
            return asked + drafts if len(known) == len(costs) else None

        most, least = expect(most_tokens), expect(least_tokens)
        if most is None or least is None:
            raise ApiError(
                f"A budget applies, and what '{request.model}' or a fallback costs is unknown.",
                status=503,
                code="price_unknown",
            )
        hold = await self._limits.hold(
            f"hold:{self._name}:{next(self._numbers)}", budgets, most, least
        )
        whole = hold.usd == most
        if not choices or (whole and allowed is not None):
            return request, hold
        tokens = most_tokens
        while not whole and hold.usd is not None and tokens > least_tokens:
            expected = expect(tokens)
            if expected is None or expected <= hold.usd:
                break
            tokens = max(least_tokens, tokens * 9 // 10)
        return _cap(request, tokens, models[0]), hold

    def settle(self, entry: Entry, record: Interaction | None) -> None:
        """Give back what was set aside beyond what the interaction cost: nothing where that is
        unknown. ``record``: None where nothing was asked."""
        if record is None:
            self._leave_soon(entry, Decimal(0), 0)
            return
        used = [one.usage for one in record.attempts if one.usage is not None]
        tokens = sum(usage.prompt_tokens + usage.completion_tokens for usage in used)
        self._leave_soon(entry, record.cost_usd, tokens)

    def _leave_soon(self, entry: Entry, cost: Decimal | None, tokens: int) -> None:
        if entry.hold is None and (entry.rates is None or not tokens):
            return
        task = asyncio.get_running_loop().create_task(self._leave(entry, cost, tokens))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _leave(self, entry: Entry, cost: Decimal | None, tokens: int) -> None:
        try:
            if entry.hold is not None:
                await self._limits.settle(entry.hold, cost)
            if entry.rates is not None:
                await self._limits.count_tokens(entry.rates, tokens)
        except (ApiError, StoreError) as error:
            # What was set aside counts as spent once its time is over.
            _log.warning("What a request left of its limits could not be settled: %s", error)

    async def spent(self, budget: Budget) -> tuple[Decimal, Decimal]:
        """USD spent and set aside now. Raises ApiError where the limits are kept elsewhere and
        can't be reached, StoreError where what was spent before can't be read."""
        return await self._limits.spent(budget)

    async def show(self, settings: Settings, metrics: Metrics) -> None:
        """Tell the metrics what is spent of every budget; where that can't be learned they keep
        what they had."""
        budgets = list_budgets(settings)
        found = await asyncio.gather(*map(self.spent, budgets), return_exceptions=True)
        told = [
            (budget.kind, budget.subject, budget.per, budget.usd, sum(one, Decimal(0)))
            for budget, one in zip(budgets, found, strict=True)
            if not isinstance(one, BaseException)
        ]
        if len(told) == len(budgets):
            metrics.set_budgets(told)

    async def close(self) -> None:
        """Wait for those that are leaving."""
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._limits.close()


def _find_configured(
    settings: Settings, request: ChatRequest, caller: Caller
) -> WorkloadSettings | None:
    """The configured workload that a request belongs to."""
    return find_workload(settings, request.body, name_workload(request), caller.tenant)[1]


def _name_configured(settings: Settings, request: ChatRequest, caller: Caller) -> str | None:
    found = _find_configured(settings, request, caller)
    return None if found is None else found.name


def _find_drafters(settings: Settings, request: ChatRequest, caller: Caller) -> list[ModelSettings]:
    """The models behind servers that may be billed for a draft of the request, each for one."""
    student = settings.generative_student
    drafters = [] if student is None else [student]
    if not any(one.rungs for one in settings.workloads):
        return drafters  # nobody's workload need be looked for
    configured = _find_configured(settings, request, caller)
    rungs = () if configured is None else configured.effective_rungs
    return [*drafters, *(settings.models[key] for key in rungs)]


def _chain(settings: Settings, name: str) -> list[ModelSettings]:
    """The models that may be billed for the request: the one it names and its fallbacks."""
    resolved = settings.resolve_model(name)
    teacher = None if resolved is None else settings.models.get(resolved.key)
    if teacher is None:
        return []
    return [teacher, *(settings.models[one] for one in teacher.fallbacks)]


def _asked_at_once(models: Sequence[ModelSettings]) -> int:
    """How many of the models one request may be billed by."""
    return 2 if models[0].hedge_after_s is not None else 1


def _cap(request: ChatRequest, tokens: int, model: ModelSettings) -> ChatRequest:
    """The same request, allowed so many tokens of output at most."""
    given = [name for name in ("max_completion_tokens", "max_tokens") if name in request.body]
    # OpenAI's own newer models refuse the older name, other servers often know no other.
    own = "api.openai.com" in (model.upstream or "")
    name = given[0] if given else ("max_completion_tokens" if own else "max_tokens")
    native = request.native
    if native is not None:
        limit = "max_output_tokens" if native.form is Form.RESPONSES else "max_tokens"
        native = Native(
            form=native.form, body={**native.body, limit: tokens}, headers=native.headers
        )
    body: dict[str, Any] = {**request.body, name: tokens}
    return replace(request, body=body, native=native)
