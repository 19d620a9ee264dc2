"""What an answer cost, and what the teacher would have asked for it.

Unknown stays unknown: without usage or without a price the cost is None, never 0.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Protocol

from router.meter.money import LARGEST_USD, WIDE, usd

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
    def reasoning(self) -> Decimal | None: ...
    @property
    def audio_input(self) -> Decimal | None: ...
    @property
    def audio_output(self) -> Decimal | None: ...
    @property
    def usd_per_request(self) -> Decimal | None: ...


@dataclass(frozen=True, kw_only=True)
class Rates:
    """A price as it was applied: what a ledger keeps, to compute a cost again from."""

    input: Decimal | None = None
    cached_input: Decimal | None = None
    output: Decimal | None = None
    reasoning: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    usd_per_request: Decimal | None = None

    @classmethod
    def of(cls, price: Price | None) -> Rates | None:
        """The rates of a price; None where there is none."""
        if price is None:
            return None
        return cls(**{name: getattr(price, name) for name in _RATE_NAMES})

    @classmethod
    def from_json(cls, rates: object) -> Rates | None:
        """What ``to_json`` wrote. Raises ValueError for anything else."""
        if rates is None:
            return None
        if not isinstance(rates, Mapping) or not rates.keys() <= set(_RATE_NAMES):
            raise ValueError("these are no rates")
        try:
            return cls(**{name: Decimal(rate) for name, rate in rates.items()})
        except (ArithmeticError, TypeError) as error:
            raise ValueError("these are no rates") from error

    def to_json(self) -> dict[str, str]:
        """The rates that are given, as exact texts."""
        given = {name: getattr(self, name) for name in _RATE_NAMES}
        return {name: f"{rate:f}" for name, rate in given.items() if rate is not None}


_RATE_NAMES = tuple(rate.name for rate in fields(Rates))


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens of one answer.

    Parts of the prompt: ``cached_tokens``, ``audio_prompt_tokens``. Parts of the completion:
    ``reasoning_tokens``, ``audio_completion_tokens``.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_prompt_tokens: int = 0
    audio_completion_tokens: int = 0

    @classmethod
    def from_openai(cls, usage: object) -> Usage | None:
        """The ``usage`` object of an OpenAI answer; None where it is missing or makes no sense."""
        if not isinstance(usage, Mapping):
            return None
        prompt = _count(usage.get("prompt_tokens"))
        completion = _count(usage.get("completion_tokens"))
        inner, outer = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
        cached, heard = _part(inner, "cached_tokens"), _part(inner, "audio_tokens")
        thought, spoken = _part(outer, "reasoning_tokens"), _part(outer, "audio_tokens")
        if prompt is None or completion is None or cached is None or heard is None:
            return None
        if thought is None or spoken is None:
            return None
        if max(cached, heard) > prompt or thought + spoken > completion:
            return None
        return cls(
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            reasoning_tokens=thought,
            audio_prompt_tokens=heard,
            audio_completion_tokens=spoken,
        )

    def split(self, price: Price) -> Iterator[tuple[int, Decimal | None]]:
        """Tokens with the rate that applies to them; every token once.

        ``cached_input`` defaults to ``input`` and ``reasoning`` to ``output``; audio has no
        default, since it costs many times what text does. Audio that was cached too counts as
        audio: upstreams report both and not what they share.
        """
        cached = min(self.cached_tokens, self.prompt_tokens - self.audio_prompt_tokens)
        yield self.prompt_tokens - self.audio_prompt_tokens - cached, price.input
        yield cached, price.input if price.cached_input is None else price.cached_input
        yield self.audio_prompt_tokens, price.audio_input
        written = self.completion_tokens - self.reasoning_tokens - self.audio_completion_tokens
        yield written, price.output
        yield self.reasoning_tokens, price.output if price.reasoning is None else price.reasoning
        yield self.audio_completion_tokens, price.audio_output


def cost_of(usage: Usage | None, price: Price | None) -> Decimal | None:
    """USD of one answer at 12 places, or None where it can't be known.

    Token rates need usage; a rate per request doesn't, and is added where both are set. A rate
    that is missing makes the cost unknown only if there are tokens it would apply to. More than
    ``LARGEST_USD`` for one answer counts as unknown.
    """
    if price is None:
        return None
    per_request = price.usd_per_request
    if price.input is None and price.output is None and price.cached_input is None:
        return None if per_request is None else usd(per_request)
    if usage is None:
        return None
    millionths = Decimal(0)
    for tokens, rate in usage.split(price):
        if tokens and rate is None:
            return None
        if tokens and rate is not None:
            millionths = WIDE.fma(tokens, rate, millionths)
    total = WIDE.scaleb(millionths, -6)
    if per_request is not None:
        total = WIDE.add(total, per_request)
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


def _part(details: object, name: str) -> int | None:
    """One of the parts that ``…_tokens_details`` tells apart: 0 where it isn't reported, None for
    nonsense."""
    if details is None:
        return 0
    if not isinstance(details, Mapping):
        return None
    value = details.get(name)
    return 0 if value is None else _count(value)
