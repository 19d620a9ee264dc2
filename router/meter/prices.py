"""What an answer cost, and what the teacher would have asked for it.

Unknown stays unknown: without usage or without a price the cost is None, never 0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any, Protocol

from router.meter.money import LARGEST_USD, usd

_MILLION = Decimal(1_000_000)
_MOST_TOKENS = 10**9
"""An upstream that reports more for one answer is wrong."""


class Price(Protocol):
    """Rates of a model: USD per million tokens, or USD per request; None where not given."""

    @property
    def input(self) -> Decimal | None: ...
    @property
    def cached_input(self) -> Decimal | None: ...
    @property
    def output(self) -> Decimal | None: ...
    @property
    def usd_per_request(self) -> Decimal | None: ...


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one answer; ``cached_tokens`` is the part of the prompt billed as cached."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0

    @classmethod
    def from_openai(cls, usage: object) -> Usage | None:
        """The ``usage`` object of an OpenAI answer; None where it is missing or makes no sense."""
        if not isinstance(usage, Mapping):
            return None
        prompt = _count(usage.get("prompt_tokens"))
        completion = _count(usage.get("completion_tokens"))
        cached = _cached(usage.get("prompt_tokens_details"))
        if prompt is None or completion is None or cached is None or cached > prompt:
            return None
        return cls(prompt_tokens=prompt, completion_tokens=completion, cached_tokens=cached)


def cost_of(usage: Usage | None, price: Price | None) -> Decimal | None:
    """USD of one answer at 12 places, or None where it can't be known.

    Token rates need usage; a rate per request doesn't, and is added where both are set.
    ``cached_input`` defaults to ``input``. A rate that is missing makes the cost unknown only if
    there are tokens it would apply to. More than ``LARGEST_USD`` for one answer counts as unknown.
    """
    if price is None:
        return None
    per_request = price.usd_per_request
    if price.input is None and price.output is None and price.cached_input is None:
        return None if per_request is None else usd(per_request)
    if usage is None:
        return None
    cached_rate = price.cached_input if price.cached_input is not None else price.input
    parts = (
        (usage.prompt_tokens - usage.cached_tokens, price.input),
        (usage.cached_tokens, cached_rate),
        (usage.completion_tokens, price.output),
    )
    with localcontext(prec=60):
        total = per_request or Decimal(0)
        for tokens, rate in parts:
            if tokens and rate is None:
                return None
            total += tokens * (rate or Decimal(0)) / _MILLION
    return usd(total) if total <= LARGEST_USD else None


class TeacherCostEstimator:
    """What the teacher would have cost where it wasn't asked: its mean cost in that workload.

    The mean is over all its priced answers of the workload so far. It isn't scaled by prompt
    length: a workload's prompts share their long part (system prompt, tools), a completion's
    price doesn't grow with the prompt, and sums over many interactions, which is what the
    estimate is for, come out the same. Whoever records an estimate marks it as one.

    Keeps the ``capacity`` workloads used last. Not thread-safe.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._sums: OrderedDict[str, tuple[Decimal, int]] = OrderedDict()

    def observe(self, workload: str, cost_usd: Decimal) -> None:
        """Take in what one answer of the teacher really cost."""
        self.seed(workload, cost_usd, 1)

    def seed(self, workload: str, total_usd: Decimal, answers: int) -> None:
        """Take in ``answers`` at once, as after a restart from ``Store.teacher_costs``."""
        total, count = self._sums.get(workload, (Decimal(0), 0))
        self._sums[workload] = (total + total_usd, count + answers)
        self._sums.move_to_end(workload)
        if len(self._sums) > self._capacity:
            self._sums.popitem(last=False)

    def estimate(self, workload: str) -> Decimal | None:
        """USD of one answer of the teacher; None before its first priced one."""
        total, count = self._sums.get(workload, (Decimal(0), 0))
        if not count:
            return None
        self._sums.move_to_end(workload)
        return usd(total / count)


def _count(value: Any) -> int | None:
    """A number of tokens, or None for what can't be one (a bool is an int in Python)."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= _MOST_TOKENS else None


def _cached(details: object) -> int | None:
    """Cached tokens of ``prompt_tokens_details``: 0 where none are reported, None for nonsense."""
    if details is None:
        return 0
    if not isinstance(details, Mapping):
        return None
    value = details.get("cached_tokens")
    return 0 if value is None else _count(value)
