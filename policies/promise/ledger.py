"""The guarantee: a ledger of disagreements that holds whatever the traffic does.

Setting. X_i = 1 if the draft of interaction i would disagree with the teacher. A draft that may be
served meets a coin: with probability π_i, fixed before, the teacher is asked instead (A_i = 1) and
its answer is delivered; else the draft is (A_i = 0). Everything but the coin, that is drafts,
thresholds, π_i and the traffic itself, may depend on the whole past, as if an adversary had chosen
it. D_t = Σ (1 − A_i)·X_i counts the disagreements delivered.

Charge. For a fixed growth g with (1 − π_i)·e^g < 1 an observed disagreement costs, in nats,

    ℓ_i = −ln[(1 − (1 − π_i)·e^g) / π_i]

chosen so that E[exp(g·(1 − A_i)·X_i − ℓ_i·A_i·X_i) | past] = 1. Their product is a non-negative
martingale that starts at 1, and by Ville's inequality it ever reaches 1/δ with probability at most
δ. So at confidence 1 − δ, for all t at once,

    D_t ≤ U_t = (ln(1/δ) + Σ A_i·X_i·ℓ_i) / g

Spending. The promise allows (1 − p)·t. A draft may be served only if U would stay within that even
were the coin to show it wrong; a check under way reserves its charge; one that failed is charged
as wrong, and as delivered where the draft was. Unused credit is kept up to a limit, so that a
cautious past can't pay for a careless present.

Pace. What is allowed should be spent, evenly. A draft is served where its predicted doubt is below
a cut; the cut follows how full the purse is. The cut decides only about cost: the bound holds for
any cut, and for doubts that are wrong.

Source: Ville (1939); the charge is Bernoulli thinning of the disagreements by the coin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from policies.promise.certificate import Terms
from policies.types import Trial

_GROWTH = 0.14
_GROWTH_AT_RISK = 0.05
"""g at this allowed risk; it grows as the root of a smaller one. A large growth lets serving start
early, at ln(1/δ)/g, and forces many checks for ever."""

_FLOOR = 1.6
"""The least share of checks, as a multiple of 1 − e^(−g), at which a charge would be infinite."""

_PURSE = 600.0
"""Unused credit that is kept, in interactions' worth of the allowed risk."""

_PACE = 0.001
_SWING = 3.0
"""How fast the logarithm of the cut drifts, and how far it leans, while the purse is full."""

_LAXEST = 0.7
_STRICTEST = 0.05
"""The cut stays between this multiple of the allowed risk and ``_LAXEST``."""


class Ledger:
    """Bounds the disagreements delivered under ``terms``, whose ``over`` must be ``all``.

    Not thread-safe; the owner serialises all calls.
    """

    def __init__(self, terms: Terms) -> None:
        if terms.over != "all" or terms.about != "agreement":
            raise ValueError("a guarantee is about agreement, over all interactions")
        self.terms = terms
        self.trials = 0
        self.growth = _GROWTH * math.sqrt(_GROWTH_AT_RISK / terms.risk)
        self.floor = _FLOOR * (1.0 - math.exp(-self.growth))
        """The smallest share of checks that a draft can have."""
        self._charged = 0.0
        self._credit = 0.0
        self._lean = math.log(terms.risk)
        self._reserved: dict[float, int] = {}
        self._withheld: float | None = None

    @property
    def key(self) -> str:
        """Names the terms together with everything a stored state depends on."""
        terms = self.terms
        return f"guarantee:{self.growth:.9f}:{terms.at_least:.6f}:{terms.confidence:.6f}"

    def bound(self) -> float:
        """U_t: no more disagreements than this have been delivered, at the confidence.

        What is under way counts as if it came out wrong.
        """
        return self._settled() + self._under_way()

    def agreement(self) -> float:
        """The guaranteed share of agreement over all interactions so far, 0 before the first."""
        return max(0.0, 1.0 - self.bound() / self.trials) if self.trials else 0.0

    def spare(self) -> float:
        """Disagreements that may still be charged; negative while the start is being earned."""
        return self._credit - self.bound()

    def can_serve(self) -> bool:
        """The surest draft could be served, were nothing under way."""
        return self.floor < 1.0 and self.progress() >= 1.0

    def progress(self) -> float:
        """What is earned, as a share of what serving the surest draft takes; at most 1."""
        if self.floor >= 1.0:
            return 0.0
        return min(1.0, self._credit / (self._settled() + self._worst(self.floor)))

    def missing(self) -> int | None:
        """How many more interactions earn the start, if nothing is charged; None: it never comes.

        At very high promises the surest draft's check costs more than the purse ever holds.
        """
        if self.floor >= 1.0 or self._worst(self.floor) > self._purse:
            return None
        short = self._settled() + self._worst(self.floor) - self._credit
        return max(0, math.ceil(short / self.terms.risk))

    def choose_share(self, doubt: float) -> float | None:
        """The share of checks at which a draft may be served; None: ask the teacher outright.

        ``doubt``: the predicted probability that the draft disagrees, 0..1. The share that costs
        least, √(μ·m·g / 2(1 − μ·m)) for a price of disagreement μ = 1/cut in teacher calls.
        """
        load = doubt / self.cut()
        if load >= 1.0:
            return None
        share = max(self.floor, math.sqrt(load * self.growth / (2.0 * (1.0 - load))))
        if share >= 1.0 or self._worst(share) > self.spare():
            return None
        return share

    def cut(self) -> float:
        """Drafts with at least this doubt are not served."""
        cut = math.exp(self._lean + _SWING * (2.0 * self._fill() - 1.0))
        return min(max(cut, _STRICTEST * self.terms.risk), _LAXEST)

    def reserve(self, share: float) -> None:
        """A check at this share is under way, until ``observe`` takes in what came of it."""
        self._reserved[share] = self._reserved.get(share, 0) + 1

    def observe(self, trial: Trial) -> None:
        """Take in one interaction; its ``level`` and ``floor`` don't matter.

        One that the teacher was asked about outright and didn't answer doesn't count.

        Raises ValueError for a propensity outside (0, 1], or too small to be charged.
        """
        share = trial.propensity
        if share > 1.0 or (1.0 - share) * math.exp(self.growth) >= 1.0:
            raise ValueError(f"a check at the share {share} proves nothing")
        if trial.failed and share == 1.0 and not trial.served:
            return  # nobody got an answer: no interaction that the promise counts
        if share < 1.0 and (trial.seen or trial.failed):
            self.release(share)
            if trial.failed or trial.wrong:
                self._charged += charge(share, self.growth)
        if trial.failed and trial.served:
            self._charged += self.growth
        self.trials += 1
        self._credit = min(self._credit + self.terms.risk, self._settled() + self._purse)
        if self._credit > self._settled():
            lean = self._lean + _PACE * (2.0 * self._fill() - 1.0)
            self._lean = min(max(lean, math.log(_STRICTEST * self.terms.risk)), 0.0)
        if self.can_serve():
            self._withheld = None

    def withdraw(self) -> None:
        """After an alarm: unused credit is forfeited, and drafts must be surer. Safe at any time:
        what is given up was never spent."""
        if self.can_serve():
            self._withheld = self.cut()
        self._credit = min(self._credit, self._settled())
        self.be_wary()

    @property
    def tightened(self) -> bool:
        """An alarm's effect hasn't worn off."""
        return self._withheld is not None

    @property
    def withheld(self) -> float | None:
        """The cut that an alarm took away, until drafts can be served again; None: no alarm did."""
        return self._withheld

    def be_wary(self) -> None:
        """After a milder alarm: drafts must be surer."""
        self._lean = min(self._lean, math.log(self.terms.risk))

    def release(self, share: float) -> None:
        """A check at this share is no longer under way."""
        if share in self._reserved:
            self._reserved[share] -= 1
            if not self._reserved[share]:
                del self._reserved[share]

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``; checks under way are no part of it."""
        return {
            "trials": self.trials,
            "charged": self._charged,
            "credit": self._credit,
            "lean": self._lean,
            "withheld": self._withheld,
        }

    @classmethod
    def restore(cls, terms: Terms, state: Mapping[str, Any]) -> Ledger:
        """The ledger as it stood at ``state()``.

        Raises ValueError, KeyError or TypeError for what no ``state()`` wrote.
        """
        ledger = cls(terms)
        numbers = [float(state[name]) for name in ("charged", "credit", "lean")]
        trials = int(state["trials"])
        if not all(map(math.isfinite, numbers)) or min(numbers[0], trials) < 0.0:
            raise ValueError("the stored ledger holds something that can't be")
        ledger._charged, ledger._credit, ledger._lean = numbers
        ledger.trials = trials
        # Absent from what was stored before there were alarms.
        withheld = state.get("withheld")
        ledger._withheld = None if withheld is None else float(withheld)
        ledger._credit = min(ledger._credit, ledger._settled() + ledger._purse)
        return ledger

    @property
    def _purse(self) -> float:
        return _PURSE * self.terms.risk

    def _fill(self) -> float:
        """How full the purse is, 0..1. Checks under way don't count: most come out right."""
        return min(1.0, max(0.0, (self._credit - self._settled()) / self._purse))

    def _settled(self) -> float:
        return (self.terms.target + self._charged) / self.growth

    def _under_way(self) -> float:
        return sum(count * self._worst(share) for share, count in self._reserved.items())

    def _worst(self, share: float) -> float:
        """What a check can cost, in disagreements: its charge, and a delivery if it fails."""
        return charge(share, self.growth) / self.growth + 1.0


def charge(share: float, growth: float) -> float:
    """ℓ in nats: what a disagreement costs that a check at this share found; inf where no charge
    is enough, since the share is too small for the growth."""
    rest = 1.0 - (1.0 - share) * math.exp(growth)
    return -math.log(rest / share) if rest > 0.0 else math.inf
