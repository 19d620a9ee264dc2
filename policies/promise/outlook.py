"""The outlook: how many more checks a promise takes, and whether it can be kept at all.

Not yet. Until an error is seen, log-wealth at a level grows by a known step per trial; an error
takes a known amount away. What isn't known is how often errors come. With k of them among n recent
trials, their rate is drawn from Beta(k + ½, n − k + ½) (Jeffreys), future errors from that rate,
and each simulated future says after how many trials the level is accepted: the wealth first
reaches its target while it climbs, so only the trials "needed with j errors" have to be looked at,
and the first j for which at most j errors have come by then is the answer. Where steps differ, as
for a promise over the served, their mean is varied by what is known of it. Quantiles over futures
are an interval for the *next* run of luck, not for a mean. It assumes that traffic, student and
random share stay as they are.

Infeasible. Two statements, each of which is wrong with probability at most δ, however often it is
looked at (Ville's inequality):

- The release errs too much. The reverse test R_t = mean over η of Π(1 + η(Y_i − m)) with
  0 < η < 1/m is a non-negative supermartingale wherever the risk at the strictest level is at most
  m. It reaching 1/δ_r proves that the risk is above; δ_r = 6δ/(π²r²) for a workload's r-th release,
  so that all releases together err with probability at most δ.
- The teacher disagrees with itself. Of n questions that it answered twice, k times alike, the
  mixture ∫ q^k (1 − q)^(n−k) dq ÷ p^k (1 − p)^(n−k) is a martingale under the true rate p, so the
  p at which it stays below 1/δ hold the true one at all times at once.

Sources: Robbins, "Statistical methods related to the law of the iterated logarithm" (1970) for
the mixture; Ville (1939); Waudby-Smith and Ramdas (JRSS B 2024).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policies.promise.certificate import Certificate, Terms
from policies.types import Trial

Floats = NDArray[np.float64]

LEAST_TRIALS = 30
"""Of fewer nothing is foretold: one error more or less would change everything."""

_FUTURES = 2000
_MOST_ERRORS = 150
_MOST_TRIALS = 1_000_000
_INTERVAL = (0.1, 0.5, 0.9)

_REVERSE_BETS: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Growth-optimal near 1.25 to 9 times the allowed risk; kept below 0.9/m."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Trials until ``level`` is accepted: the median over simulated futures, and their 10 % and
    90 % quantiles; ``high`` None: more than one in ten futures doesn't get there.

    ``checks``: the part of the median in which the teacher's answer is compared with a draft.
    """

    level: int
    trials: int
    low: int
    high: int | None
    checks: int


def forecast(
    certificate: Certificate,
    recent: Sequence[Trial],
    goal: int,
    rng: np.random.Generator,
) -> Forecast | None:
    """When every level up to ``goal`` is accepted, going on as in the ``recent`` trials.

    None where it can't be told: too few trials, or most futures don't get there.
    """
    if len(recent) < LEAST_TRIALS:
        return None
    growth = np.stack([certificate.growth(trial) for trial in recent])
    allowed = certificate.level()
    first = 0 if allowed is None else allowed + 1
    slowest: Forecast | None = None
    for level in range(first, goal + 1):
        needed = _trials_needed(certificate, level, recent, growth[:, :, level])
        errs = _errs(recent, level)
        arrivals = _arrive(needed, int(errs.sum()), len(recent), rng)
        low, middle, high = _quantiles(_vary(arrivals, growth[~errs, :, level], rng))
        if not math.isfinite(middle):
            return None
        if slowest is None or middle > slowest.trials:
            share = sum(trial.seen for trial in recent) / len(recent)
            slowest = Forecast(
                level=level,
                trials=int(middle),
                low=int(low),
                high=int(high) if math.isfinite(high) else None,
                checks=math.ceil(middle * share),
            )
    return slowest


def is_release_too_wrong(terms: Terms, trials: Iterable[Trial], release_number: int) -> bool:
    """Whether it is proven that even the strictest level errs more often than is allowed.

    ``trials``: those drafted by the release, from its first one on in order; ``release_number``:
    counts from 1 within the workload. What the teacher didn't answer counts as no error; about
    accuracy what isn't served is the teacher's, who errs, too.
    """
    risk = terms.risk
    bets = np.minimum(np.asarray(_REVERSE_BETS), 0.9 / risk)
    wealth = np.zeros(len(bets))
    target = terms.target + math.log(math.pi**2 * release_number**2 / 6.0)
    for trial in trials:
        served = trial.level == 0
        if terms.over == "served" and not served:
            continue
        wrong = trial.seen and not trial.failed and _is_wrong(trial, served)
        loss = 1.0 / trial.propensity if wrong else 0.0
        wealth += np.log1p(bets * (loss - risk))
        if np.logaddexp.reduce(wealth) - math.log(len(bets)) >= target:
            return True
    return False


def bound_rate(count: int, trials: int, confidence: float) -> tuple[float, float]:
    """(low, high) of the rate of something seen ``count`` times in independent ``trials``.

    Holds at all times at once: looking after every trial costs nothing. (0, 1) before the first.
    """
    if trials == 0:
        return 0.0, 1.0
    others = trials - count
    log_beta = math.lgamma(count + 1) + math.lgamma(others + 1) - math.lgamma(trials + 2)
    least = log_beta + math.log(1.0 - confidence)

    def is_inside(rate: float) -> bool:
        logs = (count and count * math.log(rate)) + (others and others * math.log1p(-rate))
        return logs > least

    middle = count / trials
    low = 0.0 if count == 0 else _bisect(is_inside, middle, 0.0)
    high = 1.0 if others == 0 else _bisect(is_inside, middle, 1.0)
    return low, high


def _bisect(is_inside: Callable[[float], bool], inside: float, outside: float) -> float:
    for _ in range(60):
        middle = (inside + outside) / 2.0
        if is_inside(middle):
            inside = middle
        else:
            outside = middle
    return outside


def _errs(recent: Sequence[Trial], level: int) -> NDArray[np.bool_]:
    """Which trials are seen errors at the level, shape (trials,)."""
    return np.asarray(
        [t.seen and not t.failed and _is_wrong(t, t.level <= level) for t in recent], dtype=np.bool_
    )


def _is_wrong(trial: Trial, served: bool) -> bool:
    """What would be delivered is: the draft where it would be ``served``, else the teacher's."""
    return trial.wrong if served else trial.teacher_wrong


def _trials_needed(
    certificate: Certificate, level: int, recent: Sequence[Trial], growth: Floats
) -> Floats:
    """How many trials accept the level if j errors are among them, shape (j,); inf: too many.

    ``growth``: of the recent trials at the level, shape (trials, bets).
    """
    errs = _errs(recent, level)
    seen = [trial for trial in recent if trial.seen]
    if errs.all() or not seen:
        return np.full(_MOST_ERRORS, np.inf)
    step = growth[~errs].mean(axis=0)
    if errs.any():
        fall = growth[errs].mean(axis=0)
    else:  # what an error would cost among trials such as these
        wrong = [replace(trial, wrong=True, failed=False, level=0) for trial in seen]
        fall = np.mean([certificate.growth(trial)[:, level] for trial in wrong], axis=0)
    start = certificate.wealth_by_bet()[:, level]
    errors = np.arange(_MOST_ERRORS)[:, None]

    def is_accepted(trials: NDArray[np.int64]) -> NDArray[np.bool_]:
        right = np.maximum(trials[:, None] - errors, 0)
        wealth = np.logaddexp.reduce(start + right * step + errors * fall, axis=1)
        accepted: NDArray[np.bool_] = wealth - math.log(len(start)) >= certificate.needed(level)
        return accepted

    low = np.arange(_MOST_ERRORS, dtype=np.int64) - 1  # not accepted
    high = np.full(_MOST_ERRORS, _MOST_TRIALS, dtype=np.int64)
    reached = is_accepted(high)
    while (high - low > 1).any():
        middle = (low + high) // 2
        accepted = is_accepted(middle)
        low, high = np.where(accepted, low, middle), np.where(accepted, middle, high)
    return np.where(reached, np.maximum(high, 1), np.inf)


def _arrive(needed: Floats, errors: int, trials: int, rng: np.random.Generator) -> Floats:
    """After how many trials each simulated future accepts the level; inf: never."""
    rates = rng.beta(errors + 0.5, trials - errors + 0.5, size=(_FUTURES, 1))
    gaps = rng.geometric(np.clip(rates, 1e-9, 1.0), size=(_FUTURES, len(needed)))
    # Column j: when the error after the first j comes. Not one of them may come before.
    arrived = gaps.cumsum(axis=1) > needed
    first = needed[arrived.argmax(axis=1)]
    return np.where(arrived.any(axis=1), first, np.inf)


def _vary(arrivals: Floats, steps: Floats, rng: np.random.Generator) -> Floats:
    """The arrivals spread by steps that differ, shape (trials, bets), as where only what would be
    served makes a step: neither their mean nor the future's is known exactly."""
    if not len(steps):
        return arrivals
    each = steps.mean(axis=1)
    mean, deviation = float(each.mean()), float(each.std())
    if mean <= 0.0 or deviation <= 1e-9 * mean:
        return arrivals
    error = deviation / mean * np.sqrt(1.0 / len(each) + 1.0 / arrivals)
    factor = np.maximum(1.0 + error * rng.standard_normal(len(arrivals)), 0.1)
    return np.ceil(arrivals / factor)


def _quantiles(arrivals: Floats) -> Floats:
    found: Floats = np.quantile(arrivals, _INTERVAL, method="inverted_cdf")
    return found
