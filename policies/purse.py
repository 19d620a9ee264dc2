"""The purse of a budget: what may be spent on the teacher, when, and on which drafts.

Credit. An allowance accrues per interaction, or evenly over the day. An ask is paid from the
balance. What must be asked whatever the balance (no release, a request that can't be drafted) and
isn't covered becomes a debt; a fixed part of what accrues repays it, the rest may be spent. When
the first draft is at hand the purse lends itself some of the allowance of interactions to come,
because what is asked early teaches the student for all that follows; that is a debt like any
other. So spending exceeds what accrued by the debt at most, and nothing is asked by choice that
the balance doesn't cover. Unspent credit is kept up to a limit; above it, it repays debt and is
then forfeited.

Pace. The share that may be asked is what accrues, plus the balance spread over the interactions
to come. The cut on predicted doubt is the one that would have asked that share of the latest
drafts: those above it outright, those below with a probability that rises with doubt. Such a
check by chance is never ruled out while the balance holds one ask, so that agreement can be
proven. The cut decides what the money buys, never how much is spent; doubts that are wrong only
buy less.

The cut is the dual variable of: most agreement subject to the mean cost. Its optimum asks where the
predicted disagreement per USD is highest, which at one price is the most doubtful first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.promise.thinning import Thinning
from policies.types import Trial

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
"""Of the agreement that a budget's checks prove."""

_REPAID = Decimal("0.33")
"""The part of what accrues that repays debt, while there is any: what is lent is repaid within
``_LENT``/``_REPAID`` interactions, during which two thirds of the allowance are left."""

_LENT = 800
"""What is lent at the first draft, in interactions' worth of the allowance."""

_KEPT = 800
_KEPT_ASKS = 5
"""Unspent credit that is kept: so many interactions' worth of the allowance, or so many asks where
that is more. Of a daily allowance: a day's. Not below what is lent."""

_SPREAD = 400.0
"""Over how many interactions a balance is spent."""

_WINDOW = 300
_FIRST = 20
"""Latest doubts that the cut follows, and how many it takes; until then doubts count as uniform."""

_EVERY = 8
"""The cut is found anew after so many interactions."""

_LEAST_CHECK = 0.1
_CHECK = 0.1
"""Probability of a check, as multiples of the share that may be asked: at least, and at half the
doubt of the cut."""

_RAREST = 0.001
"""The least that ``_CHECK`` and ``_LEAST_CHECK`` are multiples of; also before the first
interaction has shown what a daily allowance makes per interaction."""

_LAST_ASK = 0.2
"""Probability of a check of a doubtful draft while the balance holds one ask only."""

_MEMORY = 0.01
"""Weight of the latest interaction in what a daily allowance makes per interaction."""

_DAY_S = 86_400
_ZERO = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What may be spent on the teacher in USD: exactly one of the two is given, and positive."""

    usd_per_interaction: Decimal | None = None
    usd_per_day: Decimal | None = None

    @property
    def key(self) -> str:
        """Names what a stored state belongs to."""
        return f"budget:1:{self.usd_per_interaction}:{self.usd_per_day}:{CONFIDENCE}"


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One interaction as the purse sees it.

    ``cost_usd``: what the teacher's answer cost, None where unknown; ``at_s``: when it began, in
    seconds since the epoch; UTC days matter to a daily allowance.
    """

    trial: Trial
    cost_usd: Decimal | None
    at_s: float


class Purse:
    """Credit of one workload and the bound on what it bought. The owner serialises all calls."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.proven = Thinning(CONFIDENCE, _LEAST_CHECK)
        self._balance = _ZERO
        self._debt = _ZERO
        self._lent = False
        self._accrued = _ZERO
        self._rate = allowance.usd_per_interaction or _ZERO
        self._price = _ZERO
        self._at_s: float | None = None
        self._spent_today = _ZERO
        self._doubts: deque[float] = deque(maxlen=_WINDOW)
        self._cut: float | None = None
        self._under_way = 0

    @property
    def key(self) -> str:
        """Names what a stored state belongs to."""
        return self.allowance.key

    @property
    def debt_usd(self) -> Decimal:
        """What was spent or lent beyond what has accrued, and is still to be repaid."""
        return self._debt

    def advance(self, at_s: float) -> None:
        """Let a daily allowance accrue up to this moment; time never runs backwards."""
        per_day = self.allowance.usd_per_day
        if per_day is None:
            return
        before = at_s if self._at_s is None else self._at_s
        self._at_s = max(before, at_s)
        if self._at_s // _DAY_S > before // _DAY_S:
            self._spent_today = _ZERO
        amount = per_day * Decimal(self._at_s - before) / _DAY_S
        self._accrued += amount
        self._credit(amount)

    def spare(self) -> Decimal:
        """USD that may be spent by choice now; what is under way counts as spent."""
        spare = self._balance - self._price * self._under_way
        if self.allowance.usd_per_day is not None:
            spare = min(spare, self.allowance.usd_per_day - self._spent_today)
        return spare

    def choose_share(self, doubt: float, price_usd: Decimal) -> float:
        """The probability with which the teacher is asked about a draft; 0: it can't be paid for.

        ``doubt``: the predicted probability that the draft disagrees, 0..1; ``price_usd``: what
        the ask is likely to cost.
        """
        self._price = price_usd
        self._lend()
        self._doubts.append(doubt)
        spare = self.spare()
        if spare < price_usd:
            return 0.0
        share = float(_shares(np.asarray([doubt]), self.cut(), self._usual())[0])
        # The last ask is left to chance: nothing could be proven about what has no chance of one.
        return share if share < 1.0 or spare >= 2 * price_usd else _LAST_ASK

    def cut(self) -> float:
        """Drafts with at least this doubt are asked about, where the balance allows."""
        if self._cut is None:
            self._cut = self._find_cut()
        return self._cut

    def reserve(self) -> None:
        """An ask is under way, until ``observe`` takes in what came of it."""
        self._under_way += 1

    def release(self) -> None:
        """An ask is no longer under way."""
        self._under_way = max(0, self._under_way - 1)

    def observe(self, payment: Payment) -> None:
        """Take in one interaction. Raises ValueError for a propensity outside (0, 1].

        An answer whose cost is unknown is charged as the last ask was expected to cost. A call
        that brought no answer costs nothing, and an interaction without an answer earns nothing.
        """
        trial, trials = payment.trial, self.proven.trials
        self.proven.observe(trial)
        if trial.seen or trial.failed:
            self.release()
        self.advance(payment.at_s)
        if self.proven.trials > trials:
            self._earn()
        if trial.seen:
            self._pay(self._price if payment.cost_usd is None else payment.cost_usd)
        elif trial.failed and payment.cost_usd:
            self._pay(payment.cost_usd)  # a fallback's answer
        if self.proven.trials % _EVERY == 0:
            self._cut = None

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``; asks under way are no part of it."""
        return {
            "balance": str(self._balance),
            "debt": str(self._debt),
            "accrued": str(self._accrued),
            "rate": str(self._rate),
            "price": str(self._price),
            "spent_today": str(self._spent_today),
            "at_s": self._at_s,
            "lent": self._lent,
            "doubts": list(self._doubts),
            "proven": self.proven.state(),
        }

    @classmethod
    def restore(cls, allowance: Allowance, state: Mapping[str, Any]) -> Purse:
        """The purse as it stood at ``state()``.

        Raises ValueError, ArithmeticError, KeyError or TypeError for what no ``state()`` wrote.
        """
        purse = cls(allowance)
        names = ("balance", "debt", "accrued", "rate", "price", "spent_today")
        amounts = [Decimal(state[name]) for name in names]
        doubts = [float(doubt) for doubt in state["doubts"]]
        sound = all(amount.is_finite() and amount >= 0 for amount in amounts)
        if not sound or not all(0.0 <= doubt <= 1.0 for doubt in doubts):
            raise ValueError("the stored purse holds something that can't be")
        (purse._balance, purse._debt, purse._accrued, *rest) = amounts
        purse._rate, purse._price, purse._spent_today = rest
        purse._at_s = None if state["at_s"] is None else float(state["at_s"])
        purse._lent = bool(state["lent"])
        purse._doubts.extend(doubts)
        purse.proven = Thinning.restore(CONFIDENCE, state["proven"])
        return purse

    def _earn(self) -> None:
        """One more interaction got its answer."""
        fixed = self.allowance.usd_per_interaction
        if fixed is not None:
            self._credit(fixed)
            return
        weight = max(Decimal(str(_MEMORY)), Decimal(1) / max(1, self.proven.trials))
        self._rate += (self._accrued - self._rate) * weight
        self._accrued = _ZERO

    def _pay(self, cost_usd: Decimal) -> None:
        if self._price == _ZERO:
            self._price = cost_usd
        self._spent_today += cost_usd
        self._balance -= cost_usd
        if self._balance < _ZERO:
            self._debt -= self._balance
            self._balance = _ZERO

    def _credit(self, amount: Decimal) -> None:
        repaid = min(self._debt, amount * _REPAID)
        self._debt -= repaid
        self._balance += amount - repaid
        excess = self._balance - self._most_kept()
        if excess > _ZERO:
            self._balance -= excess
            self._debt = max(_ZERO, self._debt - excess)

    def _most_kept(self) -> Decimal:
        if self.allowance.usd_per_day is not None:
            return self.allowance.usd_per_day
        return max(_KEPT * self._rate, _KEPT_ASKS * self._price)

    def _lend(self) -> None:
        if self._lent:
            return
        self._lent = True
        amount = min(_LENT * self._rate, self._most_kept())
        self._balance += amount
        self._debt += amount
        if not self.proven.begun:
            self.proven = self.proven.expecting(_LEAST_CHECK * self._usual())

    def _usual(self) -> float:
        """The share of interactions that the allowance alone pays for."""
        if self._price <= _ZERO:
            return 1.0
        return min(1.0, max(_RAREST, float(self._rate / self._price)))

    def _affordable(self) -> float:
        """The share of interactions that may be asked about at the current pace."""
        if self._price <= _ZERO:
            return 1.0
        accruing = self._rate * (1 - _REPAID) if self._debt > _ZERO else self._rate
        pace = accruing + self._balance / Decimal(_SPREAD)
        return min(1.0, float(pace / self._price))

    def _find_cut(self) -> float:
        """The cut at which that share of the latest drafts would have been asked about."""
        rate = self._affordable()
        if len(self._doubts) < _FIRST:
            return 1.0 - rate
        doubts = np.asarray(self._doubts)
        low, high = 0.0, 1.0
        while high - low > 1e-4:
            middle = (low + high) / 2.0
            asked = float(_shares(doubts, middle, self._usual()).mean())
            low, high = (middle, high) if asked > rate else (low, middle)
        return high


def _shares(doubts: Floats, cut: float, usual: float) -> Floats:
    """Probability of asking per doubt, shape as ``doubts``: 1 from the cut on.

    ``usual``: the share that the allowance alone pays for.
    """
    load = doubts / max(cut, 1e-9)
    below = np.minimum(load, 1.0 - 1e-9)
    chance = usual * np.maximum(_LEAST_CHECK, _CHECK * np.sqrt(below / (1.0 - below)))
    shares: Floats = np.where(load >= 1.0, 1.0, np.minimum(chance, 1.0))
    return shares
