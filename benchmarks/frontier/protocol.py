"""Which rows are fitted on and which are reported, and what is measured of the scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from sklearn.model_selection import KFold

from benchmarks.frontier.metrics import (
    Calibration,
    accuracy_at,
    apgr,
    apgr_draws,
    bootstrap_weights,
    calibration,
    call_share,
    escalation_curve,
    interval,
    parity_share,
    risk_coverage_area,
)
from benchmarks.frontier.ranker import Floats, ProbabilityRanker, Ranker, hide_answers, right
from benchmarks.frontier.share import Certified, certified_share
from distill.streams import StreamRow, read_stream

_FOLDS = 5
_SIBLINGS = ("mmlu-llama", "medmcqa-llama", "triviaqa-llama", "truthfulqa-llama")

STREAMS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = MappingProxyType(
    {
        **{name: ((f"{name}-train",), (f"{name}-test",)) for name in _SIBLINGS},
        "four-llama": (
            tuple(f"{name}-train" for name in _SIBLINGS),
            tuple(f"{name}-test" for name in _SIBLINGS),
        ),
        "gsm8k-mixtral-gpt4": ((), ("gsm8k-mixtral-gpt4",)),
        "bfcl-a": ((), ("bfcl-a",)),
    }
)
"""By name: the files to fit on and those to report on; five folds where the first are none."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """``train`` is empty where the rows of ``test`` are used in five folds."""

    train: Sequence[StreamRow]
    test: Sequence[StreamRow]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of one ranker on one stream; intervals are 95 % of paired bootstrap draws over test rows.

    ``lead``: APGR minus the reference's, None for the reference itself or without one.
    ``calibration``: None where it claims no probability.
    """

    apgr: float
    apgr_interval: tuple[float, float]
    lead: float | None
    lead_interval: tuple[float, float] | None
    cpt50: float
    cpt80: float
    accuracy_at: Mapping[str, float]
    parity_share: float
    risk_coverage: float
    share: Certified
    calibration: Calibration | None


def read_split(folder: Path, stream: str) -> Split:
    """Raises StreamError where a file is missing."""
    train, test = STREAMS[stream]
    return Split(train=_read(folder, train), test=_read(folder, test))


def _read(folder: Path, names: Sequence[str]) -> list[StreamRow]:
    return [row for name in names for row in read_stream(folder / f"streams/{name}.jsonl.gz")]


def score_split(ranker: Ranker, split: Split, seed: int) -> tuple[Floats, Floats | None]:
    """Scores of all test rows, and probabilities where the ranker claims them.

    Every row is scored, without its answers, by a fit that didn't see it. Scores of five folds are
    put side by side as they are: a ranker whose scale moves from fit to fit pays for it.
    """
    if split.train:
        parts = [(split.train, np.arange(len(split.test)))]
    else:
        folds = KFold(_FOLDS, shuffle=True, random_state=seed).split(np.arange(len(split.test)))
        parts = [([split.test[int(i)] for i in learn], unseen) for learn, unseen in folds]
    scores = np.zeros(len(split.test))
    claims = np.zeros(len(split.test)) if isinstance(ranker, ProbabilityRanker) else None
    for rows, unseen in parts:
        ranker.fit(rows, seed)
        hidden = hide_answers([split.test[int(i)] for i in unseen])
        scores[unseen] = ranker.score(hidden)
        if claims is not None and isinstance(ranker, ProbabilityRanker):
            claims[unseen] = ranker.probability(hidden)
    return scores, claims


def measure(
    scores: Floats,
    claims: Floats | None,
    reference: Floats | None,
    split: Split,
    seed: int,
) -> Measured:
    """Everything that is reported of these scores on the test rows."""
    student, teacher = right(split.test)
    curve = escalation_curve(scores, student, teacher)
    weights = bootstrap_weights(len(scores), seed)
    draws = apgr_draws(scores, student, teacher, weights)
    lead = lead_interval = None
    if reference is not None and reference is not scores:
        lead = apgr(curve) - apgr(escalation_curve(reference, student, teacher))
        lead_interval = interval(draws - apgr_draws(reference, student, teacher, weights))
    spoilt = teacher * (1 - student)
    return Measured(
        apgr=apgr(curve),
        apgr_interval=interval(draws),
        lead=lead,
        lead_interval=lead_interval,
        cpt50=call_share(curve, 0.5),
        cpt80=call_share(curve, 0.8),
        accuracy_at={f"{share:.2f}": accuracy_at(curve, share) for share in (0.1, 0.2, 0.3, 0.5)},
        parity_share=parity_share(curve),
        risk_coverage=risk_coverage_area(scores, 1 - student),
        share=certified_share(scores, spoilt, seed),
        calibration=None if claims is None else calibration(claims, 1 - spoilt, seed),
    )
