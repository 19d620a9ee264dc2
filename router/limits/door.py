"""What a request must pass before anything is asked, and what it gives back at its end."""

from __future__ import annotations

import asyncio
import json
import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from router.auth import Caller
from router.billing import MOST_COMPLETION_TOKENS, count_tokens_allowed, hold_for
from router.errors import ApiError, ConfigError
from router.limits.keeper import Budget, Hold, Limits, Rates
from router.record.model import Interaction
from router.settings.model import KeySettings, ModelSettings, Settings
from router.wire.form import Form, Native
from router.wire.openai import ChatRequest

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
    """Lets the requests of keys in as their budgets and rates allow. Used from one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._leaving: set[asyncio.Task[None]] = set()

    async def enter(
        self, settings: Settings, request: ChatRequest, caller: Caller
    ) -> tuple[ChatRequest, Entry]:
        """The request, its output capped to what could be set aside, and its entry.

        Raises RateLimited or QuotaExceeded; 503 where the limits are kept elsewhere and can't be
        reached.
        """
        key = next((one for one in settings.keys if one.name == caller.key_name), None)
        if key is None or (key.budget is None and key.rate is None):
            return request, Entry()
        rates = None
        headers: Mapping[str, str] = {}
        if key.rate is not None:
            rates = Rates(
                name=key.name,
                requests_per_minute=key.rate.requests_per_minute,
                tokens_per_minute=key.rate.tokens_per_minute,
            )
            headers = await self._limits.pace(rates)
        if key.budget is None:
            return request, Entry(headers=headers, rates=rates)
        request, hold = await self._hold(settings, request, _budget_of(key))
        return request, Entry(headers=headers, rates=rates, hold=hold)

    async def _hold(
        self, settings: Settings, request: ChatRequest, budget: Budget
    ) -> tuple[ChatRequest, Hold | None]:
        models = _chain(settings, request.model)
        choices = request.n if request.form is not Form.EMBEDDINGS else 0
        allowed = count_tokens_allowed(request.body)
        most_tokens = MOST_COMPLETION_TOKENS if allowed is None else allowed
        least_tokens = _FEWEST_COMPLETION_TOKENS if allowed is None else max(allowed // 2, 1)

        # Also tools, schemas and pictures are paid for; bytes, since some scripts have few letters.
        size = len(json.dumps(request.body, ensure_ascii=False).encode())

        def expect(tokens: int) -> Decimal | None:
            """USD at most, of the dearest model that may answer; None without a price."""
            costs = [hold_for(tokens * choices, size, model.price) for model in models]
            return max((cost for cost in costs if cost is not None), default=None)

        most, least = expect(most_tokens), expect(least_tokens)
        if most is None or least is None:
            return request, None  # refused when the configuration was read, or no such model
        hold = await self._limits.hold(f"hold:{uuid.uuid4().hex}", [budget], most, least)
        if not choices or (hold.usd == most and allowed is not None):
            return request, hold
        tokens = most_tokens
        while hold.usd is not None and tokens > least_tokens:
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
        except ApiError as error:  # what was set aside counts as spent once its time is over
            _log.warning("What a request left of its limits could not be settled: %s", error)

    async def spent(self, key: KeySettings) -> tuple[Decimal, Decimal]:
        """USD spent and set aside now of a key that has a budget. Raises ApiError where the limits
        are kept elsewhere and can't be reached."""
        return await self._limits.spent(_budget_of(key))

    async def close(self) -> None:
        """Wait for those that are leaving."""
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await self._limits.close()


def _budget_of(key: KeySettings) -> Budget:
    if key.budget is None:
        raise ConfigError(f"The key {key.name} has no budget.")
    return Budget(
        name=f"key:{key.name}",
        said=f"The budget of {key.budget.usd} USD a {key.budget.per} of the key {key.name}",
        usd=key.budget.usd,
        per=key.budget.per,
    )


def _chain(settings: Settings, name: str) -> list[ModelSettings]:
    """The models that may be billed for the request: the one it names and its fallbacks."""
    resolved = settings.resolve_model(name)
    teacher = None if resolved is None else settings.models.get(resolved.key)
    if teacher is None:
        return []
    return [teacher, *(settings.models[one] for one in teacher.fallbacks)]


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
