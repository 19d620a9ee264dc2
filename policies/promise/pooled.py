"""A pool: related workloads prove their promise together, until a test rejects one of them.

Setting. The members of a pool promise the same. Beside each one's own certificate the pool has one
of its own, fed with the interactions of all its members in the order in which they are settled. A
level is a predicted risk, which each member's own release translates into thresholds, so levels
compare across members as they do across releases. In force for a member is the laxer of its own
level and the pool's. What the pool's certificate proves is about the interactions of its members
together; about one of them it proves nothing.

Bets. Whose interaction comes next is part of the traffic, so a bet must not know it: were it larger
where members err less, E[η·(m − Y)] could be positive at a risk of m. All are bet on by the
smallest share of checks that any member's state makes.

Test. For one member let Z_i = 1 if the pool's level would serve its interaction i a wrong draft,
Y_i = 1{seen}·Z_i/π_i and m the allowed risk. With bets fixed before,

    M = Σ_s w_s·Π_{i ≥ s} (1 + λ_i·(Y_i − m))          0 ≤ λ_i < 1/m,  Σ w_s = 1

is a supermartingale of mean at most 1 while the member's risk at the pool's level is at most m, so
M ever reaches 1/α with probability at most α (Ville 1939). The sum over starts, one in a hundred
interactions, keeps a long good past from hiding a change. λ_i is growth-optimal where the risk is
2, 4 or 8 times m (Kelly 1956), and M is the mean over them.

A member borrows the pool's level once it has 30 interactions of its own under test, and while M is
below 3; above that it is no evidence for the others either, so that its errors don't weigh on
them. At 1/α = 100, or at its own watch's alarm about agreement, it is put out: its own
certificate alone serves it then, its interactions are the pool's no more, and the pool's
certificate withdraws, since part of its evidence is suspect. One that the test put out stays
out; after an alarm it may come back once its own certificate has proven a level since. All of this
depends on the past alone, so nothing that is proven is touched by it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from policies.promise.certificate import Certificate, Terms
from policies.promise.policy import Part
from policies.types import Trial

Standing = Literal["new", "member", "doubted", "out"]
"""Too few interactions yet; borrows; seems to err too often, so it neither borrows nor is evidence;
put out."""

Cause = Literal["alarm", "worse"]
"""What put a member out: its watch's alarm about agreement, or the test."""

LEAST_TRIALS: Final = 30
"""Interactions of its own under the test before a member borrows."""

DOUBTED: Final = 3.0
"""M from which a member is doubted, until it is below again."""

REJECTED: Final = 100.0
"""M at which a member is put out: wrongly with a probability of at most 1 %."""

_WATCHED = 1.0
"""M above which more of a borrower is checked: what it errs is found sooner."""

_ALTERNATIVES = (2.0, 4.0, 8.0)
"""Risks that the bets are made for, as multiples of the allowed one."""

_BLOCK = 100
"""Interactions between two starts of the test; the k-th start weighs 1/(k·(k + 1))."""

_LARGEST_BET = 0.5
"""Share of M that one interaction without an error may cost."""

_NO_THRESHOLDS = np.empty(0)


class Suspicion:
    """M, for one member: evidence that it errs more often than is allowed at the pool's level.

    Not thread-safe.
    """

    def __init__(self, terms: Terms) -> None:
        self.trials = 0
        self._terms = terms
        self._started = [0.0] * len(_ALTERNATIVES)

    def observe(self, trial: Trial, level: int) -> None:
        """Take in one interaction, to be held against ``level``, which was chosen before it."""
        start, place = divmod(self.trials, _BLOCK)
        if place == 0:
            weight = 1.0 / ((start + 1) * (start + 2))
            self._started = [value + weight for value in self._started]
        self.trials += 1
        fit = trial.level <= level
        # What the teacher failed to answer tells nothing about the draft.
        if trial.failed or (self._terms.over == "served" and not fit):
            return
        risk, share = self._terms.risk, trial.floor
        y = 1.0 / trial.propensity if fit and trial.seen and trial.wrong else 0.0
        for k, times in enumerate(_ALTERNATIVES):
            bet = min((times - 1.0) * share / (1.0 - risk * share), _LARGEST_BET / risk)
            self._started[k] *= 1.0 + bet * (y - risk)

    def value(self) -> float:
        """M; 1 before the first interaction."""
        unstarted = 1.0 / (math.ceil(self.trials / _BLOCK) + 1)
        return sum(self._started) / len(self._started) + unstarted

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``load``."""
        return {"trials": self.trials, "started": list(self._started)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Back to ``state()``. Raises ValueError, KeyError or TypeError for anything else."""
        started = [float(value) for value in state["started"]]
        self.trials = int(state["trials"])
        fits = len(started) == len(_ALTERNATIVES) and self.trials >= 0
        if not fits or not all(0.0 <= value < math.inf for value in started):
            raise ValueError("the stored pool holds something that can't be")
        self._started = started


class Member:
    """A workload in a pool; ``own``: its own certificate, which its owner feeds."""

    def __init__(self, own: Certificate) -> None:
        self.own = own
        self.suspicion = Suspicion(own.terms)
        self.out: Cause | None = None

    @property
    def standing(self) -> Standing:
        if self.out is not None:
            return "out"
        if self.suspicion.value() >= DOUBTED:
            return "doubted"
        return "new" if self.suspicion.trials < LEAST_TRIALS else "member"

    @property
    def feeds(self) -> bool:
        """Its next interaction is evidence for the pool."""
        return self.standing in ("new", "member")

    @property
    def borrows(self) -> bool:
        """The pool's level may serve it."""
        return self.standing == "member"


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """What is in force for a member, in the place of its certificate: see ``policy.InForce``."""

    member: Member
    shared: Certificate

    @property
    def borrowed(self) -> bool:
        """The level in force is the pool's."""
        return self.level() != self.member.own.level()

    def level(self) -> int | None:
        """The laxer of both, as far as the member borrows."""
        own = self.member.own.level()
        shared = self.shared.level() if self.member.borrows else None
        return own if shared is None else shared if own is None else max(own, shared)

    @property
    def withheld(self) -> int | None:
        """The laxest level that an alarm took away, the member's own or one in the pool."""
        shared = self.shared.withheld if self.member.borrows else None
        found = [one for one in (self.member.own.withheld, shared) if one is not None]
        return max(found, default=None)

    @property
    def wary(self) -> bool:
        """More is to be asked by chance."""
        if not self.borrowed:
            return self.member.own.wary
        suspect = self.member.suspicion.value() > _WATCHED
        return suspect or self.member.own.wary or self.shared.wary

    @property
    def leans(self) -> bool:
        """A borrowed level isn't proven of the member, whatever is proven of the pool."""
        return self.borrowed or self.member.own.leans

    def lower_bound(self) -> float:
        """Agreement that is proven at the level in force: the pool's where that is borrowed."""
        one = self.shared if self.borrowed else self.member.own
        return one.lower_bound(one.level())


class Pool:
    """The members of a pool and the certificate that they share. Not thread-safe.

    ``proof_share``: as configured for all members, see ``PromisePolicy``.
    """

    def __init__(self, terms: Terms, proof_share: float | None = None) -> None:
        self.certificate = Certificate(terms)
        self.heard = 0
        """Interactions of members, those of one that is out included."""
        self.proven = 0
        """So many of those that were evidence, in their order, have proven the promise of what was
        delivered in them all: at the last moment at which the wealth of the run sufficed."""
        self.proof_share = proof_share
        self._members: dict[str, Member] = {}

    def enter(self, name: str, own: Certificate) -> None:
        """Take in a member, or give one that is known its certificate."""
        known = self._members.get(name)
        if known is None:
            self._members[name] = Member(own)
        else:
            known.own = own

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def keep_only(self, names: Collection[str]) -> None:
        """Forget all other members; one that comes back later begins anew."""
        self._members = {name: one for name, one in self._members.items() if name in names}

    def member(self, name: str) -> Member:
        """Raises KeyError for one that isn't in it."""
        return self._members[name]

    def in_force(self, name: str) -> Pooled:
        """What serves a member now. Raises KeyError for one that isn't in it."""
        return Pooled(member=self._members[name], shared=self.certificate)

    def observe(self, name: str, trial: Trial, *, alarmed: bool, floor: float) -> Cause | None:
        """Take in one interaction that the member's own certificate and watch have heard of.

        ``alarmed``: it raised an alarm about agreement; ``floor``: what ``floor()`` was before any
        of them had. Returns why the member is put out, where it
        is. Raises KeyError for no member.
        """
        member = self._members[name]
        self.heard += 1
        if member.out is not None:
            if member.out == "alarm" and member.own.level() is not None:
                member.out = None
            return None
        feeds, floor = member.feeds, min(floor, trial.floor)
        member.suspicion.observe(trial, self.certificate.level() or 0)
        if feeds:
            self.certificate.observe(replace(trial, floor=floor, slices=()))
            if self.certificate.run_wealth() >= self.certificate.target:
                self.proven = self.certificate.trials
        if alarmed:
            member.out = "alarm"
        elif member.suspicion.value() >= REJECTED:
            member.out = "worse"
        if member.out is not None:
            self.certificate.withdraw()
        return member.out

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``."""
        members = {
            name: {"suspicion": one.suspicion.state(), "out": one.out}
            for name, one in self._members.items()
        }
        counts = {"heard": self.heard, "proven": self.proven}
        return {**counts, "certificate": self.certificate.state(), "members": members}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Back to ``state()``, with the members that have entered; one that it doesn't know begins
        anew. Raises KeyError, TypeError or ValueError for what no ``state()`` wrote."""
        self.certificate = Certificate.restore(self.certificate.terms, state["certificate"])
        self.heard, self.proven = int(state["heard"]), int(state["proven"])
        for name, one in self._members.items():
            stored = state["members"].get(name)
            if stored is None:
                continue
            one.suspicion.load(stored["suspicion"])
            if stored["out"] not in (None, "alarm", "worse"):
                raise ValueError("the stored pool holds something that can't be")
            one.out = stored["out"]

    def floor(self) -> float:
        """The smallest share of checks that any member's state makes now, whoever comes next."""
        shares = (
            Part(certificate=self.in_force(name), thresholds=_NO_THRESHOLDS).share(self.proof_share)
            for name, one in self._members.items()
            if one.feeds
        )
        return min(shares, default=1.0)
