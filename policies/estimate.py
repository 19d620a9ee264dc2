"""What would another threshold have cost, and how often would its answers have been wrong?

Off-policy evaluation from what one policy logged. A threshold serves every draft whose score
reaches it and asks the teacher about the rest; a share of what it serves is checked in the
background. Of each logged draft the score is known, but whether it was wrong only where the
teacher was asked: always below the threshold that was in force, by a coin above it.

Weights. Let π_i(s) be the chance that the policy in force at interaction i would have given a draft
of score s of becoming known. A seen draft of score s stands for 1/π̄(s) drafts, π̄ being the mean of
π_i(s) over all i: the balance heuristic for several loggers (Veach and Guibas 1995; Agarwal et al.,
KDD 2017). Where interactions are exchangeable, the weighted sum of the errors seen is unbiased, and
weights stay small where part of the log saw everything: 1/π_i alone would throw that part away.
π̄(s) is the mean logged π among drafts of about the same score.

Variants. Over all interactions, with each draft's own weight 1/π_i: ``ips`` (Horvitz and Thompson
1952), ``snips`` (self-normalised over what would be served; Hájek 1971) and ``dr`` (doubly robust
with the gate's doubt as the model; Dudík et al. 2011). Where errors are rare they gain little on
the balanced sum: its variance is that of the errors themselves, which no model foresees. They are
reported beside it, as a check.

Limits are those of ``policies.rare_counts``; a cost, whose terms aren't rare, has a normal
interval. They hold for one threshold at a time, and speak of the mean of traffic like the logged
one, not of the next hundred interactions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from policies.promise.certificate import Over
from policies.rare_counts import limit_weighted_count

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_MOST_STRATA = 40
_STRATUM = 25
"""Drafts of about the same score, whose π is averaged: a fortieth of all, at least this many."""


class UncheckedError(ValueError):
    """Drafts of some scores were never checked, so that nothing can be said about them."""

    def __init__(self, score: float) -> None:
        super().__init__(f"no draft of a score about {score:.3f} had a chance of a check")
        self.score = score


@dataclass(frozen=True, kw_only=True)
class Logged:
    """Interactions of one workload under one release, as arrays of shape (n,).

    ``score``: the gate's probability that the draft agrees with the teacher; NaN where there was
    no draft and the teacher answers whatever the threshold is. ``propensity``: the chance, 0..1,
    that the teacher would be asked. ``seen``: its answer is known; ``failed``: it was asked and
    gave none. ``wrong``: the draft disagrees (meaningful where ``seen``). ``teacher_usd``: what
    the teacher's answer cost, NaN where that is unknown; ``draft_usd``: what the draft cost.
    """

    score: Floats
    propensity: Floats
    seen: Flags
    failed: Flags
    wrong: Flags
    teacher_usd: Floats
    draft_usd: Floats

    @property
    def drafted(self) -> Flags:
        """Where there was a draft with a score."""
        return ~np.isnan(self.score)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A figure and its interval, two-sided."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What a threshold would bring; shares are of all interactions, USD per interaction.

    ``threshold``: drafts of at least this score are served; None: none is. ``asked``: the rest,
    and what is checked in the background. ``agreement_served``: None where nothing would be
    served. ``errors``: wrong drafts seen that would have been served; ``spotless``,
    ``spotless_served``: the lower limits of agreement, had there been none. ``cost_usd`` and
    ``saving`` (1 − cost ÷ what the teacher alone would cost): None where a cost is unknown.
    ``ips``, ``snips``, ``dr``: other estimates of the agreement over all.
    """

    threshold: float | None
    served: float
    asked: float
    agreement: Estimate
    agreement_served: Estimate | None
    errors: int
    spotless: float
    spotless_served: float | None
    cost_usd: Estimate | None
    saving: float | None
    ips: float
    snips: float
    dr: float


def estimate_outlooks(
    log: Logged, thresholds: Sequence[float | None], *, audit_share: float, confidence: float
) -> list[Outlook]:
    """The outlook of every threshold, each limit at ``confidence`` on its own.

    ``audit_share``: of what is served, checked in the background at the teacher's cost. Raises
    ValueError for an empty log, UncheckedError where drafts of some scores were never checked.
    """
    if len(log.score) == 0:
        raise ValueError("nothing was logged")
    weights = balance_weights(log)
    teacher_usd = _spread_costs(log, weights)
    return [
        _estimate(log, threshold, weights, teacher_usd, audit_share, confidence)
        for threshold in thresholds
    ]


def find_cheapest(outlooks: Sequence[Outlook], agreement: float, over: Over) -> int:
    """The laxest of ``outlooks``, strict to lax, that is shown to keep to ``agreement``.

    They are tried in turn up to the first whose lower limit falls short, so that looking at many
    costs nothing: were the first one too risky accepted, its own limit would have erred. Those too
    little checked for any record to show it are passed over, whatever was seen.
    """
    chosen = 0
    for index, outlook in enumerate(outlooks):
        found, spotless = outlook.agreement, outlook.spotless
        if over == "served" and outlook.agreement_served is not None:
            found, spotless = outlook.agreement_served, outlook.spotless_served or 0.0
        if spotless < agreement:
            continue
        if found.low < agreement:
            break
        chosen = index
    return chosen


def find_within_budget(outlooks: Sequence[Outlook], usd_per_interaction: float) -> int | None:
    """The strictest of ``outlooks``, strict to lax, whose upper limit of cost is affordable.

    None where none is, or costs are unknown.
    """
    for index, outlook in enumerate(outlooks):
        if outlook.cost_usd is not None and outlook.cost_usd.high <= usd_per_interaction:
            return index
    return None


def balance_weights(log: Logged) -> Floats:
    """How many drafts a seen one stands for, shape (n,); 1 where there was no draft.

    Where the teacher failed at random, what it did answer stands for the rest as well.
    """
    weights = np.ones(len(log.score))
    rows = np.flatnonzero(log.drafted)
    if len(rows) == 0:
        return weights
    score = log.score[rows]
    count = max(1, min(_MOST_STRATA, len(rows) // _STRATUM))
    edges = np.quantile(score, np.linspace(0.0, 1.0, count + 1)[1:-1])
    stratum = np.searchsorted(edges, score, side="right")
    sizes = np.bincount(stratum, minlength=count)
    chances = np.bincount(stratum, weights=log.propensity[rows], minlength=count)
    asked = np.count_nonzero(log.seen[rows] | log.failed[rows])
    answered = np.count_nonzero(log.seen[rows]) / asked if asked else 0.0
    for unchecked in np.flatnonzero((sizes > 0) & (chances * answered == 0.0)):
        raise UncheckedError(float(score[stratum == unchecked].min()))
    weights[rows] = (sizes / np.maximum(chances * answered, 1e-300))[stratum]
    return weights


def _spread_costs(log: Logged, weights: Floats) -> Floats | None:
    """Per interaction, what asking the teacher costs: unbiased, doubly robust about its mean.

    None where the cost of an answer that came is unknown, or none came.
    """
    known = log.seen
    if not known.any() or np.isnan(log.teacher_usd[known]).any():
        return None
    mean = float(np.average(log.teacher_usd[known], weights=weights[known]))
    spread = np.full(len(known), mean)
    spread[known] += weights[known] * (log.teacher_usd[known] - mean)
    return spread


def _estimate(
    log: Logged,
    threshold: float | None,
    weights: Floats,
    teacher_usd: Floats | None,
    audit_share: float,
    confidence: float,
) -> Outlook:
    n = len(log.score)
    served = np.zeros(n, dtype=np.bool_) if threshold is None else log.score >= threshold
    count = int(served.sum())
    errors = weights[served & log.seen & log.wrong]
    largest = float(weights[served].max(initial=0.0))
    limits = limit_weighted_count(
        float(errors.sum()), float((errors**2).sum()), largest, confidence
    )
    spotless = limit_weighted_count(0.0, 0.0, largest, confidence)
    cost, saving = None, None
    if teacher_usd is not None:
        served_usd = log.draft_usd + audit_share * teacher_usd
        usd = np.where(served, served_usd, teacher_usd)
        alone = float(teacher_usd.mean())
        cost = _average(usd, [alone, float(served_usd.mean())], confidence)
        saving = 1.0 - cost.value / alone if alone > 0.0 else None
    ips, snips, dr = _own_weighted(log, served)
    return Outlook(
        threshold=threshold,
        served=count / n,
        asked=1.0 - (1.0 - audit_share) * count / n,
        agreement=_agreement(float(errors.sum()), limits, n),
        agreement_served=_agreement(float(errors.sum()), limits, count) if count else None,
        errors=len(errors),
        spotless=_agreement(0.0, spotless, n).low,
        spotless_served=_agreement(0.0, spotless, count).low if count else None,
        cost_usd=cost,
        saving=saving,
        ips=ips,
        snips=snips,
        dr=dr,
    )


def _agreement(wrong: float, limits: tuple[float, float], of: int) -> Estimate:
    """1 − wrong/of with its limits, all within 0..1."""
    low, high = limits
    return Estimate(
        value=max(0.0, 1.0 - wrong / of),
        low=max(0.0, 1.0 - high / of),
        high=max(0.0, 1.0 - low / of),
    )


def _average(values: Floats, ends: Sequence[float], confidence: float) -> Estimate:
    """The mean and its normal interval, widened for what may be too rare to have shown.

    Two values more at either of ``ends`` (Agresti and Coull 1998): how many drafts lie beyond a
    threshold near the end is itself a rare count. The largest value once more, as in
    ``rare_counts``: costs are skewed, and a seen one may stand for many.
    """
    value = float(values.mean())
    widened = np.concatenate([values, ends, ends, [values.max()]])
    error = float(widened.std()) / len(widened) ** 0.5
    reach = NormalDist().inv_cdf(0.5 + confidence / 2.0) * error
    high = max(value, float(widened.mean())) + reach
    return Estimate(value=value, low=max(0.0, value - reach), high=high)


def _own_weighted(log: Logged, served: Flags) -> tuple[float, float, float]:
    """Agreement over all by ips, snips and dr, with each draft's own 1/π; within 0..1."""
    n = len(log.score)
    if not served.any():
        return 1.0, 1.0, 1.0
    rows = served & log.seen
    own = 1.0 / np.maximum(log.propensity[rows], 1e-300)
    wrong = log.wrong[rows].astype(np.float64)
    ips = float((own * wrong).sum()) / n
    snips = served.sum() / n * float((own * wrong).sum()) / max(float(own.sum()), 1e-300)
    doubt = 1.0 - log.score
    dr = (float(doubt[served].sum()) + float((own * (wrong - doubt[rows])).sum())) / n
    return tuple(1.0 - min(1.0, max(0.0, risk)) for risk in (ips, snips, dr))  # type: ignore[return-value]
