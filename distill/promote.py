"""The promotion ladder: may this candidate replace the release in force?

Every rung compares two drafts for the same question: the one that the release in force made when
the question was asked, before anyone was trained on it, and the candidate's held-out one, made by
a student that had not seen the question. Questions that the release in force knew from an earlier
asking are left out: it would only seem better. So are those whose answers a change has
probably undone: to agree with what the teacher no longer says is no merit. A rung that the traffic
can't power is skipped and says so; safety then rests on the certificate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distill.dataset import Dataset
from distill.train.kernel_head import Trained
from policies.promise.certificate import LEVEL_MULTIPLES, Terms
from router.release import Release

Floats = NDArray[np.float64]
Verdict = Literal["passed", "failed", "skipped"]

MARGIN = 0.02
"""Largest loss that still counts as no worse."""

_Z95 = 1.96
_ALL_KNOWN = (
    "Every question that the release in force drafted was known before, so there is nothing to "
    "compare."
)


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One test of the ladder. ``difference``: candidate minus release in force, higher is better,
    with its 95 % interval ``low`` to ``high`` over ``questions``; None where nothing compares.
    ``parts``: the same of parts of the questions, where a rung looks at those."""

    name: str
    verdict: Verdict
    sentence: str
    questions: int
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    parts: tuple[Rung, ...] = ()

    def describe(self) -> dict[str, Any]:
        """JSON-ready."""
        described = asdict(self)
        if not self.parts:
            del described["parts"]
        else:
            described["parts"] = [part.describe() for part in self.parts]
        return described


def climb(dataset: Dataset, trained: Trained, active: Release | None, terms: Terms) -> list[Rung]:
    """All rungs, in order. The candidate may be promoted if none of them failed.

    ``terms``: the promise at whose risk the two gates are compared.
    """
    why = find_reason_not_to_compare(active, dataset.comparer)
    if active is None or active.gate is None or why is not None:
        return [skip(why or "")]
    drafted = [
        (i, q)
        for i, q in enumerate(dataset.questions)
        if q.row.release == active.digest and q.row.draft_agreed is not None and q.stands
    ]
    of_active = [(i, q) for i, q in drafted if q.first_release == active.digest]
    rows = np.asarray([i for i, _ in of_active], dtype=np.intp)
    # Not the questions' weights: those count askings that the release in force never saw.
    weights = np.asarray([1.0 / q.row.propensity for _, q in of_active])
    right_now = np.asarray([q.row.draft_agreed for _, q in of_active], dtype=np.bool_)
    right_then = trained.held_out[rows] == dataset.classes[rows]
    before = np.asarray([q.row.confidence or 0.0 for _, q in of_active])
    served_now = before >= threshold_at_promise(active.gate.thresholds, terms)
    served_then = trained.confidence[rows] >= threshold_at_promise(trained.gate.thresholds, terms)
    wrong_now, wrong_then = served_now & ~right_now, served_then & ~right_then
    # What is served wrongly is no merit: else a release that is too sure could never be replaced.
    share = compare("served_share", served_now & right_now, served_then & right_then, weights)
    disagreement = compare("served_disagreement", ~wrong_now, ~wrong_then, weights)
    if share.verdict == "failed" and disagreement.low is not None and disagreement.low > 0.0:
        sentence = f"It serves less because it disagrees less. {share.sentence}"
        share = replace(share, verdict="skipped", sentence=sentence)
    rungs = [compare("agreement", right_now, right_then, weights), disagreement, share]
    if drafted and not of_active:
        return [replace(rung, sentence=_ALL_KNOWN) for rung in rungs]
    return rungs


def find_reason_not_to_compare(active: Release | None, comparer: str) -> str | None:
    """Why a candidate whose answers are compared by ``comparer`` can't be held against the release
    in force; None where it can."""
    if active is None:
        return "There is no release in force to compare with; the certificate decides."
    if active.gate is None:
        return "The release in force serves nothing yet; the certificate decides."
    if active.comparer != comparer:
        return f"Answers were compared as {active.comparer}, now as {comparer}."
    return None


def skip(sentence: str) -> Rung:
    """The comparison left out, and why."""
    return Rung(name="agreement", verdict="skipped", sentence=sentence, questions=0)


def may_promote(rungs: Sequence[Rung]) -> bool:
    """No rung failed."""
    return all(rung.verdict != "failed" for rung in rungs)


def compare(
    name: str,
    before: NDArray[np.bool_],
    after: NDArray[np.bool_],
    weights: Floats,
    z: float = _Z95,
) -> Rung:
    """Paired non-inferiority of a share: ``after`` against ``before``, row by row.

    ``weights``: how many interactions each row stands for; ``z``: the interval's half width in
    standard errors, more than usual where it is one of many. Skipped where the interval's half
    width exceeds ``MARGIN`` and doesn't settle the question by itself. The half width is at least
    3 ÷ the effective number of rows, since rows that all agree don't prove that all do.
    """
    count = len(weights)
    if count == 0:
        sentence = "No question was drafted by the release in force and answered by the teacher."
        return Rung(name=name, verdict="skipped", sentence=sentence, questions=0)
    delta = after.astype(float) - before.astype(float)
    total = weights.sum()
    mean = float((weights * delta).sum() / total)
    spread = float(np.sqrt((weights**2 * (delta - mean) ** 2).sum()) / total)
    effective = float(total**2 / (weights**2).sum())
    half = max(z * spread, 3.0 / effective)
    low, high = mean - half, mean + half
    verdict, sentence = _judge(mean, low, high, half, effective)
    return Rung(
        name=name,
        verdict=verdict,
        sentence=sentence,
        questions=count,
        difference=mean,
        low=low,
        high=high,
    )


def _judge(
    mean: float, low: float, high: float, half: float, effective: float
) -> tuple[Verdict, str]:
    interval = f"{100 * mean:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    if high < 0:
        return "failed", f"Worse than the release in force: {interval}."
    if low > -MARGIN:
        return "passed", f"No worse than the release in force: {interval}."
    if half <= MARGIN:
        return "failed", f"Not shown to be no worse: {interval}."
    needed = round(effective * ((half / MARGIN) ** 2 - 1))
    return "skipped", f"Too few questions to tell: {interval}; about {needed} more would."


def threshold_at_promise(thresholds: Any, terms: Terms) -> float:
    """The score down to which a gate would serve at exactly the promised risk."""
    levels = terms.risk * np.asarray(LEVEL_MULTIPLES)
    at_promise = int(np.searchsorted(LEVEL_MULTIPLES, 1.0, side="right")) - 1
    return float(thresholds(levels, terms.over)[at_promise])
