"""The certificate: how lax may the gate be, given everything seen so far?

Setting. A gate turns every draft into a score, and every release translates a *risk level* ρ
into a score threshold: the lowest at which the release itself predicts that at most a share ρ of
all interactions (or of the served ones) would be served a wrong draft. Levels therefore mean the
same for every release; they are predictions, and the certificate is what checks them.

Test. For level j let Z_i(j) = 1 if interaction i would be served at j and its draft disagrees with
the teacher. The teacher's answer is seen with a known probability π_i, so
Y_i(j) = 1{seen}·Z_i(j)/π_i is unbiased. For a candidate risk m the wealth

    K_t(j, m) = Π_i (1 + η_i·(m − Y_i(j)))          with predictable 0 ≤ η_i < 1/(1/π_min − m)

is a non-negative supermartingale while the true risk at j is at least m, so by Ville's inequality
it ever reaches 1/δ with probability at most δ: looking at it after every interaction is no
peeking. A mean over several η is again such a process. For a promise over the served ones only,
the factor is 1 where j would not serve.

Walk. With m = 1 − promised agreement, a level is accepted once its wealth reaches 1/δ, until it
falls e² below; by Ville's inequality the latter is more than the proof asks for. Levels are walked
from strict to lax, and the walk stops at the first that isn't accepted (fixed-sequence testing: no
correction over levels). The laxest level reached is proven. None: nothing is served.

Leaning. To wait for the proof of every lax level costs more than what it protects: the promise is
about what is delivered in all. So a second wealth is kept, of the traffic *as it was run*, with the
drafts that were let to the coin. While it stays at 1/δ or above, levels are walked on over those
that are likely to keep the promise (wealth e^1.5); where errors bring it down, or after an alarm,
only proven levels serve. It is a test martingale for the average risk of what was delivered.

Evidence of an earlier release counts for a later one. That is exact for the average risk of the
policy as it was run, every draft having been made before its query was trained on; read as a
statement about the release in force it assumes that interactions are exchangeable and that, at
the same level, a newer release is no riskier than those before it, which is what the promotion
ladder tests. The wealth is capped (a capped supermartingale remains one), so that a long good
past can't pay for a bad present: a release that errs loses its level after a few errors seen.

Accuracy. Promised may also be that answers are right by the application's own verdicts. Then Z_i(j)
= 1 where the draft is wrong if j would serve it, else where the teacher's answer is; both are seen
where a verdict was drawn. What the gate predicts is disagreement, so bets don't go by it, and only
proven levels serve.

Sources: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting"
(JRSS B 2024); Ville (1939); Wiens, "A fixed sequence Bonferroni procedure" (2003).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from policies.promise.bets import BETS, find_bets_on_run, find_optimal_bets, share_evenly
from policies.types import Trial

Floats = NDArray[np.float64]
Over = Literal["all", "served"]
About = Literal["agreement", "accuracy"]

LEVEL_MULTIPLES: tuple[float, ...] = (
    0.1, 0.16, 0.22, 0.28, 0.34, 0.4, 0.46, 0.52, 0.58, 0.64,
    0.72, 0.8, 0.88, 0.96, 1.06, 1.16, 1.28, 1.4, 1.6, 2.0,
)  # fmt: skip
"""Risk levels as multiples of the risk that the promise allows, strict to lax."""

_CANDIDATES: tuple[float, ...] = (
    1.0, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.2, 1.5, 2.0, 3.0, 5.0,
)  # fmt: skip
"""Candidate risks as multiples of the allowed one; the first is the one that is certified."""

_BET_CEILING = 0.6
_OBSERVING_CEILING = 0.7
"""Largest share of the wealth that one seen error may cost; more is dared while every answer is
seen, since then an error only delays the start and takes away nothing that is being served."""

_SURPLUS = 1.0
"""Wealth above 1/δ that is kept, in nats."""

_PATIENCE = 2.0
"""How far below 1/δ the wealth of an accepted level may fall, in nats: a proof that comes out wrong
now and then, as it must at any risk, would else close the level for hundreds of interactions."""

_LIKELY = 1.5
"""Wealth, in nats, from which a level laxer than the proven ones may be tried, and which it may
lose again before it no longer is."""

_WITHDRAWN = 1.0
"""How far below what it needs an alarm leaves the wealth of a level at most, in nats."""

_WARY = 300
"""Trials after an alarm in which more is asked by chance."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is promised: at least ``agreement`` of the interactions (``over`` all of them, or those
    that the student serves) agree with the teacher, at ``confidence``; or at least ``accuracy`` of
    all are answered right, by verdicts, where silence for ``within_s`` seconds says wrong. Raises
    ValueError unless one of the two is given."""

    agreement: float | None = None
    accuracy: float | None = None
    within_s: float = 0.0
    confidence: float = 0.95
    over: Over = "all"

    def __post_init__(self) -> None:
        if (self.agreement is None) == (self.accuracy is None):
            raise ValueError("terms are about agreement or accuracy, and not both")
        if self.accuracy is not None and self.over != "all":
            raise ValueError("accuracy is promised over all interactions")

    @property
    def about(self) -> About:
        """What is promised a share of."""
        return "agreement" if self.accuracy is None else "accuracy"

    @property
    def at_least(self) -> float:
        """The promised share."""
        return (self.agreement if self.accuracy is None else self.accuracy) or 0.0

    @property
    def risk(self) -> float:
        """The allowed share of what disagrees, or is wrong."""
        return 1.0 - self.at_least

    @property
    def target(self) -> float:
        """Log-wealth that proves a statement at the confidence: ln(1/δ)."""
        return -math.log(1.0 - self.confidence)

    @property
    def key(self) -> str:
        """Names the terms together with everything a stored state depends on."""
        key = f"3:{self.at_least:.6f}:{self.confidence:.6f}:{self.over}:{len(LEVEL_MULTIPLES)}"
        return key if self.accuracy is None else f"accuracy:{key}"


class Certificate:
    """Evidence about every risk level, updated by one trial after another.

    Not thread-safe; the owner serialises ``observe``.
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._may_lean = terms.about == "agreement"
        self.levels: Floats = terms.risk * np.asarray(LEVEL_MULTIPLES)
        self.trials = 0
        self._candidates: Floats = terms.risk * np.asarray(_CANDIDATES)
        self._bets = find_optimal_bets(self._candidates, self.levels)
        self._log_wealth: Floats = np.zeros((len(BETS), len(_CANDIDATES), len(self.levels)))
        self._accepted = np.zeros((len(_CANDIDATES), len(self.levels)), dtype=np.bool_)
        self._likely = np.zeros(len(self.levels), dtype=np.bool_)
        self._run_bets = find_bets_on_run(terms.risk, self.levels)
        self._run_wealth: Floats = np.zeros(len(BETS))
        self._proven: int | None = None
        self._level: int | None = None
        self._withheld: int | None = None
        self._wary = 0

    @property
    def target(self) -> float:
        """Log-wealth at which a level is accepted: ln(1/δ)."""
        return self.terms.target

    @property
    def key(self) -> str:
        """Names what a stored state belongs to."""
        return self.terms.key

    def observe(self, trial: Trial) -> None:
        """Take in one interaction; ``trial.floor`` bounds the bet, ``trial.propensity`` weights it.

        Raises ValueError for a propensity outside (0, 1] or below the floor.
        """
        if not 0.0 < trial.floor <= trial.propensity <= 1.0:
            raise ValueError(f"propensity {trial.propensity} and floor {trial.floor} don't fit")
        cap = self.target + _SURPLUS
        # Before anything is accepted anew: the bet must not know what it bets on.
        if self._may_lean:
            self._run_wealth = np.minimum(self._run_wealth + self._gains_of_run(trial), cap)
        self._log_wealth = np.minimum(self._log_wealth + self._gains(trial), cap)
        wealth = self._mixed()
        kept = self._accepted & (wealth >= self.target - _PATIENCE)
        self._accepted = kept | (wealth >= self.target)
        self._likely = (self._likely & (wealth[0] >= 0.0)) | (wealth[0] >= _LIKELY)
        self.trials += 1
        self._wary = max(0, self._wary - 1)
        self._find_level()
        if self._level is not None:
            self._withheld = None

    def withdraw(self) -> None:
        """After an alarm: serve nothing until a level has earned its last nat anew.

        Safe at any time and for any reason that lies in the past: the minimum of a non-negative
        supermartingale and a constant is one.
        """
        before = self._level
        most = np.full(len(self.levels), (_LIKELY if self._may_lean else self.target) - _WITHDRAWN)
        most[0] = self.target - _WITHDRAWN
        self._log_wealth = np.minimum(self._log_wealth, most)
        self._run_wealth = np.minimum(self._run_wealth, most[0])
        self._accepted[:] = False
        self._likely[:] = False
        self._wary = _WARY
        self._find_level()
        if before is not None:
            self._withheld = before

    def be_wary(self) -> None:
        """After a milder alarm: no patience with levels that have lost evidence since they were
        accepted, and for a while more is asked by chance and only proven levels serve. Safe at any
        time."""
        self._accepted &= self._mixed() >= self.target
        self._wary = _WARY
        self._find_level()

    @property
    def withheld(self) -> int | None:
        """The level that an alarm took away, until another is in force; None: no alarm did."""
        return self._withheld

    @property
    def tightened(self) -> bool:
        """An alarm's effect hasn't worn off."""
        return self._withheld is not None or self.wary

    @property
    def wary(self) -> bool:
        """An alarm fell lately: more is to be asked by chance."""
        return self._wary > 0

    def wealth(self) -> Floats:
        """Log-wealth per level at the promised risk, shape (levels,)."""
        wealth: Floats = self._mixed()[0]
        return wealth

    def wealth_by_bet(self) -> Floats:
        """Log-wealth at the promised risk before the mean over bets, shape (bets, levels)."""
        wealth: Floats = self._log_wealth[:, 0].copy()
        return wealth

    def growth(self, trial: Trial) -> Floats:
        """What the trial would add to ``wealth_by_bet``, were the wealth not capped."""
        gained: Floats = self._gains(trial)[:, 0]
        return gained

    def needed(self, level: int) -> float:
        """Log-wealth at which a level may be served: proof for the strictest one, likelihood for
        the others, which the wealth of the traffic as it was run keeps in check."""
        return min(_LIKELY, self.target) if level and self._may_lean else self.target

    def level(self) -> int | None:
        """The level in force, or None: nothing may be served."""
        return self._level

    @property
    def leans(self) -> bool:
        """The level in force is likely to keep the promise, and not proven by itself."""
        return self._level != self._proven

    def run_wealth(self) -> float:
        """Log-wealth of the traffic as it was run, at the promised risk."""
        return float(np.logaddexp.reduce(self._run_wealth) - math.log(len(BETS)))

    def lower_bound(self, level: int | None) -> float:
        """Agreement, or accuracy, that is proven at ``level``, or of the traffic as it was run; 1.0
        where nothing is served (None)."""
        if level is None:
            return 1.0
        proven = self._candidates[self._accepted[:, level]]
        least = float(proven.min()) if len(proven) else 1.0
        if self.run_wealth() >= self.target:
            least = min(least, self.terms.risk)
        return max(0.0, 1.0 - least)

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``."""
        return {
            "trials": self.trials,
            "log_wealth": self._log_wealth.ravel().tolist(),
            "accepted": self._accepted.ravel().tolist(),
            "likely": self._likely.tolist(),
            "run_wealth": self._run_wealth.tolist(),
            "withheld": self._withheld,
            "wary": self._wary,
        }

    @classmethod
    def restore(cls, terms: Terms, state: Mapping[str, Any]) -> Certificate:
        """The certificate as it stood at ``state()``.

        Raises ValueError where the shapes differ or a number is none, KeyError or TypeError for
        what no ``state()`` wrote.
        """
        certificate = cls(terms)
        certificate._log_wealth = _read(state["log_wealth"], certificate._log_wealth)
        certificate._run_wealth = _read(state["run_wealth"], certificate._run_wealth)
        certificate._accepted = _read(state["accepted"], certificate._accepted)
        certificate._likely = _read(state["likely"], certificate._likely)
        certificate.trials = int(state["trials"])
        withheld = state["withheld"]
        certificate._withheld = None if withheld is None else int(withheld)
        certificate._wary = int(state["wary"])
        certificate._find_level()
        return certificate

    def _find_level(self) -> None:
        """What is in force, once after each change: it is asked for more often than it changes."""
        self._level = self._proven = _walk(self._accepted[0])
        if self._proven is None or self.wary or self.run_wealth() < self.target:
            return
        likely = _walk(self._likely)
        if likely is not None:
            self._level = max(self._proven, likely)

    def _gains(self, trial: Trial) -> Floats:
        """Log-wealth that the trial adds, shape (bets, candidates, levels)."""
        served = np.arange(len(self.levels)) >= trial.level
        if trial.failed:
            # Charged as if it were wrong as often as the candidate says: a teacher that is down
            # then proves nothing, while drafts go on being served unseen.
            loss = self._candidates / trial.propensity
            of_teacher = loss if self.terms.about == "accuracy" else np.zeros_like(loss)
        else:
            weight = 1.0 / trial.propensity if trial.seen else 0.0
            loss = np.full(len(self._candidates), weight if trial.wrong else 0.0)
            of_teacher = np.full(len(self._candidates), weight if trial.teacher_wrong else 0.0)
        gain = self._candidates[:, None] - np.where(
            served[None, :], loss[:, None], of_teacher[:, None]
        )
        if self.terms.over == "served":
            gain = np.where(served[None, :], gain, 0.0)
        most = _OBSERVING_CEILING if trial.floor == 1.0 else _BET_CEILING
        ceiling = most / (1.0 / trial.floor - np.minimum(self._candidates, 0.5))
        if self.terms.about == "accuracy":
            bets = share_evenly(ceiling)
        else:
            bets = np.minimum(self._bets, ceiling[None, :, None])
        gained: Floats = np.log1p(bets * gain[None])
        return gained

    def _gains_of_run(self, trial: Trial) -> Floats:
        """Log-wealth that the trial adds for the traffic as it was run, shape (bets,).

        Whether a draft was fit to be served the trial tells itself, whatever has come in since it
        was decided about: only those that were met the coin. While nothing may be served the
        strictest level stands for the traffic, by what it would have served.
        """
        risk = self.terms.risk
        fit = trial.level == 0 if trial.floor == 1.0 else trial.propensity < 1.0
        loss = 0.0
        if trial.failed and trial.served and trial.propensity == 1.0:
            loss = 1.0
        elif fit:
            loss = (risk if trial.failed else float(trial.seen and trial.wrong)) / trial.propensity
        elif self.terms.over == "served":
            return np.zeros(len(BETS))
        level = self._level or 0
        most = _OBSERVING_CEILING if trial.floor == 1.0 else _BET_CEILING
        bets = np.minimum(self._run_bets[:, level], most / (1.0 / trial.floor - min(risk, 0.5)))
        gained: Floats = np.log1p(bets * (risk - loss))
        return gained

    def _mixed(self) -> Floats:
        mixed: Floats = np.logaddexp.reduce(self._log_wealth, axis=0) - math.log(len(BETS))
        return mixed


def _walk(passed: NDArray[np.bool_]) -> int | None:
    """The last level before the first that isn't passed."""
    if not passed[0]:
        return None
    return int(len(passed) - 1 if passed.all() else np.argmin(passed) - 1)


def _read(stored: Sequence[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Stored values in the shape and type of ``like``. Raises ValueError where they don't fit."""
    if len(stored) != like.size:
        raise ValueError("the stored promise state has another shape")
    values = np.asarray(stored, dtype=like.dtype)
    if not np.isfinite(values).all():
        raise ValueError("the stored promise state holds something that is no number")
    return values.reshape(like.shape)
