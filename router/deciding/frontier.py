"""What every threshold of a workload would cost and how well it would answer, from its log.

Only drafts by the release in force count, and each was made before its query could be trained on.
Drafts of earlier releases are left out rather than scored again: the release in force has learned
from their queries, so it would look better on them than it is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from policies.estimate import (
    Logged,
    Outlook,
    UncheckedError,
    estimate_outlooks,
    find_cheapest,
    find_within_budget,
)
from policies.promise.certificate import Over
from policies.promise.policy import SLICE_UNPROVEN
from policies.types import Tier
from router.errors import TutelageError
from router.meter.money import plain_usd
from router.record.model import Decision
from router.record.rows import teacher_failed
from router.record.store import Store
from router.settings.model import Settings, WorkloadSettings
from router.workload import find_settings

MIN_DRAFTS = 100
"""Below this the intervals say nothing."""

_GRID = 60
_PLACES = 5
_CALLERS = ("forced", "pinned")
_ON_PURPOSE = ("repeat", "targeted")
_CONFIDENCE = 0.95


class NotYet(TutelageError):
    """There isn't enough in the log; the sentence says what is missing."""


_AUDITS = "an audit.max_share above 0"
_MORE = "a larger budget"


@dataclass(frozen=True, kw_only=True)
class Frontier:
    """A workload's outlooks, from the teacher alone to every draft served, and some of them marked.

    ``interactions``, ``drafts``: what was logged under ``release``, and those with a score;
    ``checked``: drafts about which the teacher was asked and answered; ``left_out``: interactions
    that say nothing about a threshold, by reason. ``confidence``: of each interval on its own.
    ``agreement``, ``over``: what is promised, or None. ``audit_share``: of what is served, checked
    in the background, and part of every cost. ``usd_per_interaction``: the budget asked about.
    ``marks``: index into ``outlooks``, None where no threshold qualifies: ``teacher``, ``student``
    (the two ends), ``in_force``, ``promise`` (the cheapest whose lower limit keeps it), ``budget``
    (the best whose upper limit stays within it).
    """

    workload: str
    release: str
    interactions: int
    drafts: int
    checked: int
    left_out: Mapping[str, int]
    confidence: float
    agreement: float | None
    over: Over
    audit_share: float
    usd_per_interaction: Decimal | None
    outlooks: Sequence[Outlook]
    marks: Mapping[str, int | None]

    def to_json(self) -> dict[str, Any]:
        """JSON-ready: numbers and texts alone; what isn't known is null."""
        budget = self.usd_per_interaction
        return {
            **asdict(self),
            "left_out": dict(self.left_out),
            "usd_per_interaction": None if budget is None else plain_usd(budget),
            "outlooks": [asdict(outlook) for outlook in self.outlooks],
            "marks": dict(self.marks),
        }


def read_frontier(
    store: Store,
    settings: Settings,
    workload: str,
    usd_per_interaction: Decimal | None = None,
    *,
    newest: int | None = None,
) -> Frontier:
    """The frontier of a workload from the store's log. Blocks. Raises NotYet, as ``frontier_of``,
    and where no release is in force. ``newest``: only from that many of its interactions."""
    release = store.active_releases().get(workload)
    if release is None:
        raise NotYet(
            f"Not yet: workload {workload!r} has no release in force, so there are no drafts to "
            "predict from; see 'tutelage distill status'."
        )
    return frontier_of(
        store.decisions(workload, release, newest),
        workload=workload,
        release=release,
        settings=find_settings(settings, workload),
        usd_per_interaction=usd_per_interaction,
    )


def frontier_of(
    decisions: Iterable[Decision],
    *,
    workload: str,
    release: str,
    settings: WorkloadSettings | None,
    usd_per_interaction: Decimal | None = None,
) -> Frontier:
    """The frontier of a workload from what was decided since its release came into force.

    ``settings``: None for a workload that isn't configured; its policy is then the teacher. Raises
    NotYet where too little is known: drafts, checks, or for a budget the costs.
    """
    configured = settings or WorkloadSettings(name="-")
    promise = configured.promise
    if promise is not None and promise.agreement is None:
        promise = None  # the log shows agreement alone
    confidence = promise.confidence if promise else _CONFIDENCE
    over: Over = promise.over if promise else "all"
    left_out: Counter[str] = Counter()
    kept = list(_select(decisions, release, left_out))
    log = _gather(kept, release)
    drafts = int(log.drafted.sum())
    _require_drafts(drafts, workload, configured)
    in_force = _find_in_force(kept, configured, release)
    thresholds = _choose_thresholds(log, in_force)
    share = configured.audit.max_share
    try:
        outlooks = estimate_outlooks(log, thresholds, audit_share=share, confidence=confidence)
    except UncheckedError as error:
        spends = configured.effective_policy == "budget"
        raise NotYet(
            f"Not yet: in workload {workload!r} drafts of a confidence from {error.score:.3f} on "
            f"were never checked; let some be, by {_MORE if spends else _AUDITS}."
        ) from None
    marks: dict[str, int | None] = {"teacher": 0, "student": len(outlooks) - 1}
    marks["in_force"] = thresholds.index(in_force)
    if promise is not None:
        marks["promise"] = find_cheapest(outlooks, promise.at_least, over)
    if usd_per_interaction is not None:
        _require_costs(log, outlooks, workload)
        marks["budget"] = find_within_budget(outlooks, float(usd_per_interaction))
    return Frontier(
        workload=workload,
        release=release,
        interactions=len(kept),
        drafts=drafts,
        checked=int((log.drafted & log.seen).sum()),
        left_out=left_out,
        confidence=confidence,
        agreement=promise.agreement if promise else None,
        over=over,
        audit_share=share,
        usd_per_interaction=usd_per_interaction,
        outlooks=outlooks,
        marks=marks,
    )


def _select(
    decisions: Iterable[Decision], release: str, left_out: Counter[str]
) -> Iterable[Decision]:
    """Those about which a threshold of this release would decide, or the teacher whatever it is."""
    for decision in decisions:
        if decision.reason in _ON_PURPOSE:
            left_out["asked_on_purpose"] += 1
        elif decision.reason in _CALLERS:
            left_out["chosen_by_caller"] += 1
        elif decision.release not in (None, release):
            left_out["another_release"] += 1
        else:
            yield decision


def _gather(decisions: Sequence[Decision], release: str) -> Logged:
    failed = [
        teacher_failed(d.tier, d.reason, d.seen) or (d.audited and not d.seen) for d in decisions
    ]
    chances = [_chance_of(d, lost) for d, lost in zip(decisions, failed, strict=True)]
    costs = [d.teacher_cost_usd if d.seen else None for d in decisions]
    return Logged(
        score=np.array([_score_of(d, release) for d in decisions]),
        propensity=np.array(chances),
        seen=np.array([d.seen for d in decisions], dtype=np.bool_),
        failed=np.array(failed, dtype=np.bool_),
        # In doubt, disagreement: as the certificate counts it.
        wrong=np.array([d.draft_agreed is not True for d in decisions], dtype=np.bool_),
        teacher_usd=np.array([math.nan if cost is None else float(cost) for cost in costs]),
        # What settles an interaction takes an embedded student's draft for free.
        draft_usd=np.zeros(len(decisions)),
    )


def _score_of(decision: Decision, release: str) -> float:
    if decision.release != release or decision.confidence is None:
        return math.nan
    return decision.confidence


def _chance_of(decision: Decision, failed: bool) -> float:
    """The chance that the teacher would be asked.

    0 where it couldn't be: served without any audit, or left by its client before one.
    """
    if decision.tier is Tier.TEACHER or decision.seen or failed:
        return decision.propensity
    unasked = decision.propensity == 1.0 or decision.status != "ok"
    return 0.0 if unasked else decision.propensity


def _find_in_force(
    decisions: Sequence[Decision], settings: WorkloadSettings, release: str
) -> float | None:
    """The threshold that decides now; None where the teacher answers everything.

    Under a promise or a budget it is the one that decided about the newest draft.
    """
    policy = settings.effective_policy
    if policy == "student":
        return 0.0
    if policy == "threshold" and settings.threshold is not None:
        return settings.threshold
    if policy in ("promise", "budget"):
        drafted = (
            d
            for d in reversed(decisions)
            if not math.isnan(_score_of(d, release)) and d.reason != SLICE_UNPROVEN
        )
        last = next(drafted, None)
        newest = None if last is None else last.threshold
        return newest if newest is not None and math.isfinite(newest) else None
    return None


def _choose_thresholds(log: Logged, in_force: float | None) -> list[float | None]:
    """From none served to all: quantiles of the scores, whatever came of them."""
    quantiles = np.quantile(log.score[log.drafted], np.arange(1, _GRID) / _GRID)
    found = {round(float(score), _PLACES) for score in quantiles} | {0.0}
    if in_force is not None:
        found.add(in_force)
    return [None, *sorted(found, reverse=True)]


def _require_drafts(drafts: int, workload: str, settings: WorkloadSettings) -> None:
    if drafts == 0 and settings.effective_policy == "teacher":
        raise NotYet(
            f"Workload {workload!r} has the policy teacher, which makes no drafts to predict from; "
            "give it a promise in the configuration, under which nothing is served unproven."
        )
    if drafts < MIN_DRAFTS:
        raise NotYet(
            f"Not yet: the release in force has {drafts} drafts in workload {workload!r} and a "
            f"frontier needs {MIN_DRAFTS}; wait for more traffic."
        )


def _require_costs(log: Logged, outlooks: Sequence[Outlook], workload: str) -> None:
    if outlooks[0].cost_usd is not None:
        return
    unknown = int(np.isnan(log.teacher_usd[log.seen]).sum())
    raise NotYet(
        f"What {unknown} of {int(log.seen.sum())} answers of the teacher cost in workload "
        f"{workload!r} is unknown, so no budget can be placed: give the teacher a price."
    )
