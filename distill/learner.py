"""What a cycle of learning works with, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from distill.dataset import MAX_QUESTIONS
from distill.dataset.memory import RowMemory
from distill.drift import Drift, find_drift
from distill.launch.embedded import Fit
from distill.train.tuned import Tuner
from policies.promise.certificate import Terms
from router.record.model import Release as ReleaseRecord
from router.record.redact import Redactor
from router.record.store import Store
from router.release import Release, load_release
from router.settings.model import Settings, WorkloadSettings
from router.students.encoder import Encoder
from router.workload import find_settings

Result = Literal["promoted", "on_trial", "rejected", "too_few", "open_ended", "failed", "busy"]

_UNPROMISED = Terms(agreement=0.95)
"""At this risk gates are compared where a workload promises nothing."""


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Every question's draft by a student that had not seen it: the confidence in it, in
    ``scores``, of a gate that had not either, and whether it disagrees with the teacher. ``ids``:
    of the interaction that asked each question last."""

    ids: Sequence[str]
    scores: NDArray[np.float64]
    wrong: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cycle ended. ``sentence``: the same for people; ``detail``: what the store keeps;
    ``held_out``: drafts for the questions it learned from; None where it didn't come to that."""

    workload: str
    result: Result
    sentence: str
    release: ReleaseRecord | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    held_out: HeldOut | None = None


@dataclass(frozen=True, kw_only=True)
class Learner:
    """What a cycle works with.

    ``folder``: where releases are written; ``seed``: of all choices; ``drafts``: "embedded" trains
    a student and its gate, "given" only the gate over drafts that come from elsewhere, "served" the
    gate over those of a student behind a server; ``most_questions``: of more, a random sample is
    learned from; ``datasets``: where what was learned from is kept, None where it isn't;
    ``find_drift``: tells a workload's alarms; ``live``: traffic follows, so that a candidate can be
    tried on it, and people look at what was learned; ``ended``: whether the cycle is to end, asked
    before each step; ``fit``: where an embedded student is trained, None: here, by ``encoder``;
    ``memory``: of what earlier cycles read, where one process goes through many of the same store
    and settings; ``tuner``: tunes an encoder of the workload's own, None leaves the one in force.
    """

    settings: Settings
    store: Store
    encoder: Encoder
    redactor: Redactor
    folder: Path
    seed: int = 0
    drafts: Literal["embedded", "given", "served"] = "embedded"
    most_questions: int = MAX_QUESTIONS
    datasets: Path | None = None
    find_drift: Callable[[Store, str], Drift] = find_drift
    live: bool = True
    ended: Callable[[], bool] = lambda: False
    fit: Fit | None = None
    memory: RowMemory | None = None
    tuner: Tuner | None = None


def load_active(store: Store, workload: str) -> Release | None:
    """The release in force. Raises ReleaseError where it is damaged."""
    digest = store.active_releases().get(workload)
    row = store.release(digest) if digest is not None else None
    return None if row is None else load_release(Path(row.path))


def terms_of(settings: Settings, workload: str) -> Terms:
    configured = find_settings(settings, workload)
    if configured is None or configured.promise is None:
        return _UNPROMISED
    promise = configured.promise
    # Gates predict agreement; of a promise on accuracy they need its risk alone.
    return Terms(agreement=promise.at_least, confidence=promise.confidence, over=promise.over)


def promises_agreement(configured: WorkloadSettings | None) -> bool:
    """Whether a workload promises agreement with the teacher."""
    promise = None if configured is None else configured.promise
    return promise is not None and promise.agreement is not None
