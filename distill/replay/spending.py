"""A budget in a replay: what is spent by, what an ask really cost, and what was proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from distill.replay.line import Line
from distill.replay.result import Claim
from distill.streams import StreamRow
from policies.budget import REASONS
from policies.purse import CONFIDENCE, Payment
from router.deciding.budget import BudgetKeeper
from router.errors import ConfigError
from router.meter.money import usd
from router.record.model import PromiseState
from router.settings.model import Price, Settings, WorkloadBudget, WorkloadSettings

_UNPRICED = (
    "A budget needs to know what an answer of the teacher costs: give a --config whose teacher "
    "has a price, or a stream whose rows all have a cost_usd."
)
_CLOCKLESS = (
    "A replay has no clock to spread usd_per_day over: "
    "give the workload {name} usd_per_interaction."
)


def give_budget(settings: Settings, usd_per_interaction: Decimal, unknown: set[str]) -> Settings:
    """The same configuration with this budget, and no promise, for every workload.

    ``unknown``: names of the stream's workloads that the configuration doesn't know.
    """
    budget = WorkloadBudget(usd_per_interaction=usd_per_interaction)
    change = {"budget": budget, "policy": "budget", "promise": None}
    workloads = [workload.model_copy(update=change) for workload in settings.workloads]
    workloads += [
        WorkloadSettings(name=name, budget=budget, policy="budget") for name in sorted(unknown)
    ]
    return settings.model_copy(update={"workloads": tuple(workloads)})


def price_by_stream(
    settings: Settings, rows: Sequence[StreamRow], known: Sequence[StreamRow]
) -> Settings:
    """Where a budget is in force: the teacher is expected to cost what it is known to have cost.

    That is the mean over ``known`` rows, where all ``rows`` have a cost; else the configuration's
    price stays. Raises ConfigError where there is neither, and for a budget that needs a clock.
    """
    spending = [one for one in settings.workloads if one.effective_policy == "budget"]
    if not spending:
        return settings
    for one in spending:
        if one.budget is not None and one.budget.usd_per_day is not None:
            raise ConfigError(_CLOCKLESS.format(name=one.name))
    key, teacher = settings.teacher_key, settings.teacher
    recorded = all(row.teacher.cost_usd is not None for row in rows)
    if key is None or teacher is None or (not recorded and teacher.price is None):
        raise ConfigError(_UNPRICED)
    if not recorded:
        return settings
    costs = [row.teacher.cost_usd for row in known if row.teacher.cost_usd is not None]
    price = Price(usd_per_request=usd(sum(costs, Decimal(0)) / len(costs)))
    models = {**settings.models, key: teacher.model_copy(update={"price": price})}
    return settings.model_copy(update={"models": models})


class RecordedCosts(BudgetKeeper):
    """Charges an ask about ``row``, which the replay sets before each query, what it cost then."""

    row: StreamRow | None = None

    def observe(self, workload: str, payment: Payment) -> PromiseState:
        recorded = None if self.row is None else self.row.teacher.cost_usd
        if payment.trial.seen and recorded is not None:
            payment = replace(payment, cost_usd=recorded)
        return super().observe(workload, payment)


def claim_proven(budgets: BudgetKeeper, lines: Sequence[Line]) -> list[Claim]:
    """What a budget's checks proved of the whole run, once something could be served.

    Of several workloads each has its own bound, and nothing is claimed about their mixture.
    """
    names = {line.workload for line in lines}
    if len(names) != 1 or all(line.reason not in REASONS for line in lines):
        return []
    proven = budgets.proven_agreement(names.pop())
    if proven is None:
        return []
    return [
        Claim(
            at_least=proven,
            confidence=CONFIDENCE,
            over="all",
            kind="guaranteed",
            start=0,
            end=len(lines),
        )
    ]
