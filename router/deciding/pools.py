"""Pools: which workloads share their evidence, and what that has come to.

A pool's state is stored with every snapshot of a member, so that it needs no place of its own in
the store: the newest one is that which has heard of the most interactions. It holds how all members
stood, so what is stored after it is taken in by all of them together, in one order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from heapq import merge
from operator import itemgetter
from typing import Any

from policies.promise.certificate import Certificate
from policies.promise.drift import Alarm
from policies.promise.policy import InForce
from policies.promise.pooled import Cause, Pool, Pooled, Standing
from policies.types import Trial
from router.deciding.slices import terms_of_whole
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings, Settings
from router.workload import find_workload

LEFT: Mapping[Cause, str] = {
    "alarm": "its drafts agree with the teacher less often than its gate expects",
    "worse": "at the pool's level it errs more often than it promises",
}
"""Why a workload was put out of its pool, for people."""

_POOL = "pool"
"""Where a member's stored state holds its pool's."""


@dataclass(frozen=True, kw_only=True)
class PoolStanding:
    """How a workload stands in its pool, JSON-ready.

    ``why``: it was put out, in words, None where it wasn't. ``borrowed``: the level in force is the
    pool's. ``level``: in force for the workload, from 1; ``proven_agreement``: at that level, of
    the pool where it is borrowed. ``interactions``: that the pool has heard of.
    """

    name: str
    standing: Standing
    why: str | None
    borrowed: bool
    level: int | None
    proven_agreement: float
    interactions: int

    @property
    def words(self) -> str:
        """Where the level comes from, or why it doesn't."""
        if self.why is not None:
            return f"put out of pool {self.name}: {self.why}"
        return f"borrowed from pool {self.name}" if self.borrowed else f"in pool {self.name}"


@dataclass(frozen=True, kw_only=True)
class PoolPlan:
    """A pool as it is configured; ``members``: by the names that the store has for them."""

    name: str
    promise: PromiseSettings
    proof_share: float | None
    members: tuple[str, ...]


def find_pools(settings: Settings) -> list[PoolPlan]:
    """The pools whose promise is kept, each tenant's apart."""
    found: dict[str, PoolPlan] = {}
    for tenant in sorted({key.tenant for key in settings.keys} or {""}):
        for one in settings.workloads:
            if one.pool is None or one.promise is None or one.effective_policy != "promise":
                continue
            member = find_workload(settings, {}, one.name, tenant)[0]
            name = one.pool + member.removeprefix(one.name)
            plan = found.setdefault(
                name,
                PoolPlan(
                    name=name,
                    promise=one.promise,
                    proof_share=one.audit.proof_share,
                    members=(),
                ),
            )
            found[name] = replace(plan, members=(*plan.members, member))
    return list(found.values())


class PoolKeeper:
    """The pools of a gateway. Used from one event loop only.

    ``alone``: no other worker sees interactions of the same workloads; else there are no pools.
    """

    def __init__(self, settings: Settings | None = None, *, alone: bool = True) -> None:
        self._alone = alone
        self._plans: dict[str, PoolPlan] = {}
        self._pools: dict[str, Pool] = {}
        if settings is not None:
            self.follow(settings)

    def follow(self, settings: Settings) -> None:
        """Put other settings in force: a pool whose terms are the same goes on with the members
        that it has now, and any other begins anew."""
        before = {plan.name: plan for plan in self._plans.values()}
        plans = find_pools(settings) if self._alone else []
        for plan in plans:
            known, pool = before.get(plan.name), self._pools.get(plan.name)
            if known is None or known.promise != plan.promise:
                self._pools.pop(plan.name, None)
            elif pool is not None:
                pool.keep_only(plan.members)
                pool.proof_share = plan.proof_share
        names = {plan.name for plan in plans}
        self._pools = {name: pool for name, pool in self._pools.items() if name in names}
        self._plans = {member: plan for plan in plans for member in plan.members}

    def plan_of(self, workload: str) -> PoolPlan | None:
        """The pool that a workload is configured to be in."""
        return self._plans.get(workload)

    def is_open(self, plan: PoolPlan) -> bool:
        """Its evidence is at hand."""
        return plan.name in self._pools

    def awaits(self, workload: str) -> bool:
        """The workload is to be in a pool, and hasn't entered it yet."""
        return workload in self._plans and self.pooled(workload) is None

    def open(
        self,
        plan: PoolPlan,
        accounts: Mapping[str, Certificate],
        stored: Mapping[str, PromiseState] | None = None,
    ) -> int | None:
        """Take in the accounts of members, of a pool that isn't open as ``stored`` has it.

        Returns the last interaction that the stored state reaches to; None: it begins anew, now.
        Raises KeyError, TypeError or ValueError for a stored state that can't be read.
        """
        pool = self._pools.get(plan.name)
        if pool is None:
            pool = Pool(terms_of_whole(plan.promise, ()), plan.proof_share)
            self._pools[plan.name] = pool
        for name, account in accounts.items():
            pool.enter(name, account)
        newest = _find_newest(plan, pool.certificate.key, stored or {})
        if newest is None:
            return None
        pool.restore(newest.state[_POOL]["state"])
        return newest.upto_seq

    def close(self, plan: PoolPlan) -> None:
        """Forget what can't be used."""
        self._pools.pop(plan.name, None)

    def floor(self, workload: str) -> float:
        """The share of checks by which the pool bets on what comes next; to be taken before the
        workload's own account hears of it. 1 where the workload is in no pool."""
        pool = self._pool_of(workload)
        return 1.0 if pool is None else pool.floor()

    def observe(
        self, workload: str, trial: Trial, alarm: Alarm | None, floor: float
    ) -> Cause | None:
        """Take in an interaction that its workload's own account has taken in, with the alarm that
        it raised and what ``floor`` was before; returns why the workload is put out of its pool,
        where it is."""
        pool = self._pool_of(workload)
        if pool is None or workload not in pool:
            return None
        alarmed = alarm is not None and alarm.kind == "agreement"
        return pool.observe(workload, trial, alarmed=alarmed, floor=floor)

    def in_force(self, workload: str, own: Certificate) -> InForce:
        """What serves a workload: its own certificate, or that with its pool's."""
        return self.pooled(workload) or own

    def pooled(self, workload: str) -> Pooled | None:
        """How a workload stands in its pool; None where it is in none."""
        pool = self._pool_of(workload)
        return pool.in_force(workload) if pool is not None and workload in pool else None

    def read(self, workload: str) -> PoolStanding | None:
        """For whoever shows it; None where the workload is in no pool."""
        plan, one = self.plan_of(workload), self.pooled(workload)
        if plan is None or one is None:
            return None
        level, out = one.level(), one.member.out
        return PoolStanding(
            name=plan.name,
            standing=one.member.standing,
            why=None if out is None else LEFT[out],
            borrowed=one.borrowed,
            level=None if level is None else level + 1,
            proven_agreement=one.lower_bound(),
            interactions=self._pools[plan.name].heard,
        )

    def proven(self, pool: str) -> int:
        """Of how many interactions that were evidence for a pool, from its first on, its promise is
        proven."""
        found = self._pools.get(pool)
        return 0 if found is None else found.proven

    def feeding(self) -> dict[str, str]:
        """The pool by workload, for those whose next interaction is evidence for it."""
        pooled = ((name, plan, self.pooled(name)) for name, plan in self._plans.items())
        return {
            name: plan.name for name, plan, one in pooled if one is not None and one.member.feeds
        }

    def add_to(self, workload: str, snapshot: PromiseState) -> PromiseState:
        """A member's snapshot with its pool's; any other's as it is."""
        plan, pool = self.plan_of(workload), self._pool_of(workload)
        if plan is None or pool is None:
            return snapshot
        kept = {"name": plan.name, "terms": pool.certificate.key, "state": pool.state()}
        return replace(snapshot, state={**snapshot.state, _POOL: kept})

    def _pool_of(self, workload: str) -> Pool | None:
        plan = self._plans.get(workload)
        return None if plan is None else self._pools.get(plan.name)


def _find_newest(
    plan: PoolPlan, terms: str, stored: Mapping[str, PromiseState]
) -> PromiseState | None:
    """The member's state whose pool has heard the most, of those that are of this pool."""
    of_pool = [
        state
        for state in stored.values()
        if _POOL in state.state and _reads(state.state[_POOL], plan.name, terms)
    ]
    return max(of_pool, key=lambda one: int(one.state[_POOL]["state"]["heard"]), default=None)


def _reads(kept: Any, name: str, terms: str) -> bool:
    return bool(kept["name"] == name and kept["terms"] == terms)


def read_together(store: Store, after: Mapping[str, int]) -> Iterator[tuple[int, str, Trial]]:
    """The stored trials of several workloads, each after its own interaction, in one order."""

    def read(workload: str, seq: int) -> Iterator[tuple[int, str, Trial]]:
        return ((one, workload, trial) for one, trial in store.trials(workload, seq))

    return merge(*(read(workload, seq) for workload, seq in after.items()), key=itemgetter(0))
