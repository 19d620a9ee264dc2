"""The plan for a request that isn't sent: decided as the gateway would, and nothing delivered.

No teacher is called, nor any further model. What hangs on the coin is decided twice, once for each
way that it can fall.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from policies.base import Coin
from policies.promise.accuracy import checks_draft
from policies.promise.policy import PROOF
from policies.types import Tier
from router.auth import Caller
from router.deciding.kept import Account
from router.deps import Deps
from router.errors import BadRequest
from router.explain.context import (
    describe_standing,
    find_account,
    find_promise,
    find_skip,
    list_levels,
    write_usd,
)
from router.explain.explanation import Branch, Facts
from router.meter.money import usd
from router.outcome import Outcome
from router.pipeline import decide, keep_to_max_cost
from router.record.model import write_ask
from router.settings.model import PromiseSettings
from router.settle import expect_teacher_cost, price_draft
from router.wire.openai import ChatRequest

_NEVER = 1.0 - 2**-53
_ALWAYS = 0.0
_REFUSED = "max_cost_exceeded"


@dataclass(frozen=True, kw_only=True)
class _Case:
    """A decision for one way that the coin can fall; ``refusal``: what the client would be told."""

    outcome: Outcome
    refusal: str | None

    @property
    def tier(self) -> str:
        """Who answers; "none" where the request is refused."""
        return str(self.outcome.ask.tier) if self.refusal is None else "none"

    @property
    def reason(self) -> str:
        return self.outcome.ask.reason if self.refusal is None else _REFUSED

    @property
    def told(self) -> str:
        """The reason, or that of the check in the background."""
        return self.reason if self.outcome.audit is None else self.outcome.audit.reason

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The asks; of a request that is refused, those up to the draft."""
        asks = [step.ask for step in self.outcome.trace.steps]
        return [write_ask(ask) for ask in asks if self.refusal is None or not ask.commit]

    @property
    def asks_teacher(self) -> bool:
        asked = self.outcome.ask.tier is Tier.TEACHER or self.outcome.audit is not None
        return asked and self.refusal is None

    @property
    def is_by_chance(self) -> bool:
        ask = self.outcome.ask
        return checks_draft(ask.reason, ask.propensity) or self.outcome.audit is not None

    @property
    def chance(self) -> float:
        """The probability with which the coin falls so, where anything hangs on it."""
        audit = self.outcome.audit
        return self.outcome.ask.propensity if audit is None else audit.propensity


async def plan_request(deps: Deps, request: ChatRequest, caller: Caller) -> Facts:
    """What would be done. Raises ApiError where the gateway would refuse the request at once."""
    unasked = await _decide(deps, request, caller, lambda: _NEVER)
    asked = await _decide(deps, request, caller, lambda: _ALWAYS)
    share = asked.chance if asked.is_by_chance and not unasked.is_by_chance else None
    likely = asked if share is not None and share > 0.5 else unasked
    outcome, ask = likely.outcome, likely.outcome.ask
    by_teacher = ((share or 0.0, asked), (1.0 - (share or 0.0), unasked))
    asking = sum(chance for chance, case in by_teacher if case.asks_teacher)
    teacher_usd = expect_teacher_cost(deps, outcome)
    settings = outcome.workload_settings
    promise = find_promise(settings)
    account = find_account(deps.promises, outcome.workload, settings)
    levels = list_levels(account, outcome.release)
    standing = _describe_standing(deps, outcome, promise, account)
    evidence = outcome.evidence
    return Facts(
        subject="request",
        workload=outcome.workload,
        policy="teacher" if settings is None else settings.effective_policy,
        tier=likely.tier,
        model="student" if ask.tier is Tier.STUDENT else outcome.model,
        reason=likely.reason,
        steps=likely.steps,
        release=None if outcome.release is None else outcome.release.digest,
        skipped=find_skip(request.body, outcome.release),
        confidence=None if evidence is None else evidence.confidence,
        signals={} if evidence is None else evidence.signals,
        threshold=ask.threshold,
        level=ask.level + 1 if ask.level is not None and levels else None,
        level_in_force=standing["level"] if standing is not None and levels else None,
        levels=levels,
        propensity=asking,
        floor=ask.floor,
        branches=() if share is None else _list_branches(share, asked, unasked),
        costs={
            "teacher_usd": write_usd(teacher_usd),
            "expected_usd": write_usd(_expect(price_draft(deps, outcome), teacher_usd, asking)),
        },
        standing=standing,
        notes=tuple(_note(likely)),
        slices=tuple(one.name for one in ask.slices),
    )


def _note(case: _Case) -> Iterator[str]:
    settings = case.outcome.workload_settings
    if case.refusal is not None:
        yield case.refusal
    if settings is not None and settings.effective_rungs:
        names = ", ".join(settings.effective_rungs)
        yield f"Drafts of further models cost money, so none is made for a plan: {names}."


async def _decide(deps: Deps, request: ChatRequest, caller: Caller, coin: Coin) -> _Case:
    outcome = await decide(replace(deps, coin=coin, rungs=None), request, caller)
    try:
        keep_to_max_cost(deps, outcome)
    except BadRequest as error:
        return _Case(outcome=outcome, refusal=str(error))
    if outcome.ask.reason == PROOF:  # it isn't carried out
        deps.promises.release(outcome.workload, outcome.ask)
    return _Case(outcome=outcome, refusal=None)


def _list_branches(share: float, asked: _Case, unasked: _Case) -> tuple[Branch, ...]:
    """The likelier one first."""
    branches = [
        Branch(probability=chance, tier=case.tier, reason=case.told)
        for chance, case in ((1.0 - share, unasked), (share, asked))
    ]
    return tuple(sorted(branches, key=lambda branch: -branch.probability))


def _expect(
    draft_usd: Decimal | None, teacher_usd: Decimal | None, asking: float
) -> Decimal | None:
    """The draft was made already; the teacher is asked with some probability."""
    spent = Decimal(0) if asking == 0.0 else teacher_usd
    if draft_usd is None or spent is None:
        return None
    return usd(draft_usd + spent * Decimal(str(asking)))


def _describe_standing(
    deps: Deps, outcome: Outcome, promise: PromiseSettings | None, account: Account | None
) -> Mapping[str, Any] | None:
    if promise is None or account is None:
        return None
    estimate = deps.teacher_costs.estimate(outcome.workload)
    slices = deps.promises.slices(outcome.workload)
    return describe_standing(
        *(deps.store, outcome.workload, promise, account, outcome.release, estimate, slices),
        deps.promises.pools.read(outcome.workload),
    )
