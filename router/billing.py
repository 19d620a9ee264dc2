"""What each try of an upstream cost, and on what that rests. Nothing here is ever guessed as 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from policies.types import Tier
from router.meter.prices import Price, Rates, Usage, cost_of
from router.record.model import Attempt, Basis, Purpose
from router.upstream.model import AttemptLog

_CHARS_PER_TOKEN = 2
"""Fewer than any tokenizer needs for prose: a hold must not be too small."""

MOST_COMPLETION_TOKENS = 4096
"""What an answer is taken for whose request sets no limit."""

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


@dataclass(frozen=True, kw_only=True)
class Bill:
    """One try's cost; see ``router.record.model.Basis``. ``usage``: None where unknown, or where
    nothing was used."""

    basis: Basis
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    rates: Rates | None = None
    held_usd: Decimal | None = None


def write_attempt(
    log: AttemptLog,
    bill: Bill,
    *,
    interaction_id: str,
    n: int,
    tier: Tier,
    model: str,
    purpose: Purpose,
    version: str | None,
) -> Attempt:
    """One try as it is recorded. ``version``: what the upstream called its model, where it
    answered."""
    return Attempt(
        interaction_id=interaction_id,
        n=n,
        tier=tier,
        model=model,
        purpose=purpose,
        started_at=log.started_at,
        latency_ms=log.latency_ms,
        status=log.status,
        error=log.error,
        usage=bill.usage,
        cost_usd=bill.cost_usd,
        upstream_model=version if log.billing == "answer" else None,
        basis=bill.basis,
        rates=None if bill.rates is None else bill.rates.to_json(),
        held_usd=bill.held_usd,
    )


def bill_tries(
    tries: Sequence[AttemptLog],
    usage: Usage | None,
    prices: Sequence[Price | None],
    hold: Callable[[Price | None], Decimal | None],
) -> tuple[Bill, ...]:
    """A bill for each try of one call; ``usage`` is that of the last, which alone can have
    answered, ``prices`` those of the models that were asked.

    ``hold``: USD that a try of unknown cost counts as against a budget, None without a price.
    """
    last = len(tries) - 1
    return tuple(
        _bill(one, usage if n == last else None, price, hold)
        for n, (one, price) in enumerate(zip(tries, prices, strict=True))
    )


def _bill(
    one: AttemptLog,
    usage: Usage | None,
    price: Price | None,
    hold: Callable[[Price | None], Decimal | None],
) -> Bill:
    if one.billing == "nothing":
        return Bill(basis="refused", cost_usd=Decimal(0))
    rates = Rates.of(price)
    if one.billing == "answer":
        # A price per request is one per answer, and known without usage.
        cost = cost_of(usage, price)
        if cost is not None:
            return Bill(basis="answer", cost_usd=cost, rates=rates, usage=usage)
        if usage is not None:
            return Bill(basis="unpriced", rates=rates, usage=usage)
    return Bill(basis="unknown", rates=rates, held_usd=hold(price))


def sum_costs(costs: Sequence[Decimal | None]) -> Decimal | None:
    """What all of it cost; None where a part of it is unknown."""
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None


def count_tokens_allowed(body: Mapping[str, Any]) -> int | None:
    """What a request allows one answer to be long; None where it sets no limit."""
    allowed = [body[name] for name in _LIMITS if isinstance(body.get(name), int)]
    return max(max(allowed), 0) if allowed else None


def count_tokens_at_most(body: Mapping[str, Any]) -> int:
    """The completion tokens of all the answers that a request asks for, or 4,096 for each."""
    allowed, choices = count_tokens_allowed(body), body.get("n")
    each = MOST_COMPLETION_TOKENS if allowed is None else allowed
    return each * (choices if isinstance(choices, int) and choices > 0 else 1)


def hold_for(completion_tokens: int, prompt_chars: int, price: Price | None) -> Decimal | None:
    """USD that so long an answer costs at most, as far as can be said beforehand: with a token for
    every two characters of the prompt. None without a price."""
    most = Usage(
        prompt_tokens=prompt_chars // _CHARS_PER_TOKEN + 1, completion_tokens=completion_tokens
    )
    return cost_of(most, price)
