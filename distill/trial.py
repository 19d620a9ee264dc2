"""The last rungs, on live traffic: which of them a candidate has to climb, and why not the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from distill.learner import Outcome
from router.generative.student import GenerativeStudent
from router.promotion import NotPossible, find_release
from router.record.model import Release as Candidate
from router.record.store import Store
from router.release import Release, Student, load_release
from router.settings.ladder import CanarySettings
from router.settings.model import Settings
from router.staging.judge import Judged, begin, write_skip
from router.staging.stage import Plan
from router.students.embedded import EmbeddedStudent

_SHADOW = 300
"""Comparisons of a generative student's drafts in the shadow at most, where none are configured."""

_CARRIES_OVER = (
    "Not needed for an embedded student: at the same level the certificate carries over, and it"
    " holds safety. learning.ladder asks for it all the same."
)
_SAME_DRAFTS = "The student is the one in force: only its gate is new, and the certificate holds."


def plan_trial(
    settings: Settings,
    store: Store,
    workload: str,
    student: Student | None,
    comparer: str,
    active: Release | None,
    confidence: float,
    now: float | None,
) -> Judged:
    """The first stage of a candidate with this student on live traffic; ``to`` is "active" where
    there is none, and the rungs say why. ``comparer``: what its answers are compared by;
    ``confidence``: of the tests; ``now``: seconds since the epoch, None where no live traffic
    follows.
    """
    reason = _find_reason(active, student, comparer, now)
    if active is None or now is None or reason is not None:
        return _promote(dict.fromkeys(("shadow", "canary"), reason or ""))
    shadow, canary, skipped = _read_ladder(settings, student)
    same = isinstance(student, GenerativeStudent) and student == active.student
    if same and shadow:
        shadow, skipped = 0, {**skipped, "shadow": _SAME_DRAFTS}
    if same and settings.learning.ladder.canary is None:
        canary, skipped = CanarySettings(enabled=False), {**skipped, "canary": _SAME_DRAFTS}
    plan = Plan(
        shadow=shadow,
        shares=canary.shares if canary.enabled else (),
        each=canary.each,
        within_s=canary.within,
        confidence=confidence,
    )
    judged = begin(store, plan, active.digest, now, workload)
    rungs = tuple(
        {**rung, "sentence": skipped.get(str(rung["name"]), rung["sentence"])}
        if rung["name"] in skipped
        else rung
        for rung in judged.rungs
    )
    return replace(judged, rungs=rungs)


def put_forward(
    store: Store, release: Candidate, trial: Judged, sentence: str, detail: Mapping[str, Any]
) -> Outcome:
    """A candidate goes on the trial that is planned for it, or in force where none is: how a cycle
    ends. ``sentence``: how it was made, with a full stop."""
    workload = release.workload
    if isinstance(trial.to, tuple) and release.state != "active":
        sentence = f"{sentence[:-1]}; it {trial.reason}."
        store.begin_stage(release.digest, *trial.to, sentence)
        return Outcome(
            workload=workload, result="on_trial", sentence=sentence, release=release, detail=detail
        )
    store.set_active(workload, release.digest, sentence)
    return Outcome(
        workload=workload, result="promoted", sentence=sentence, release=release, detail=detail
    )


def put_on_trial(
    settings: Settings, store: Store, start: str, confidence: float, now: float
) -> tuple[Candidate, str]:
    """Try the release whose digest begins so beside the one in force, as a cycle would.

    Returns it and what comes first. Raises UnknownRelease, NotPossible where it can't be tried,
    StoreError where it was rejected or is in force, ReleaseError where one of the two is damaged.
    """
    chosen = find_release(store, start)
    found = load_release(Path(chosen.path))
    digest = store.active_releases().get(chosen.workload)
    row = None if digest is None else store.release(digest)
    active = None if row is None else load_release(Path(row.path))
    judged = plan_trial(
        *(settings, store, chosen.workload, found.student, found.comparer, active, confidence, now)
    )
    if not isinstance(judged.to, tuple):
        why = judged.reason or judged.rungs[-1]["sentence"]
        raise NotPossible(f"Release {chosen.digest[:12]} can't be tried on live traffic: {why}")
    sentence = f"{chosen.workload}: release {chosen.number} {judged.reason}."
    store.begin_stage(chosen.digest, *judged.to, sentence, tuple(judged.rungs))
    return chosen, judged.reason


def _find_reason(
    active: Release | None, student: Student | None, comparer: str, now: float | None
) -> str | None:
    """Why nothing can be tried, whatever is configured."""
    if active is None:
        return "There is no release in force to be tried beside; the certificate decides."
    if active.gate is None:
        return "The release in force serves nothing yet; the certificate decides."
    if now is None:
        return "No live traffic follows: what is known is replayed."
    if student is None:
        return "The drafts come from elsewhere."
    if active.comparer != comparer:
        return f"Answers were compared as {active.comparer}, now as {comparer}."
    return None


def _read_ladder(
    settings: Settings, student: Student | None
) -> tuple[int, CanarySettings, dict[str, str]]:
    """Comparisons in the shadow, the canary, and why what is off by default is."""
    ladder = settings.learning.ladder
    embedded = isinstance(student, EmbeddedStudent)
    skipped: dict[str, str] = {}
    shadow, canary = ladder.shadow, ladder.canary
    if shadow is None:
        shadow = 0 if embedded else _SHADOW
        if embedded:
            skipped["shadow"] = _CARRIES_OVER
    if canary is None:
        canary = CanarySettings(enabled=not embedded)
        if embedded:
            skipped["canary"] = _CARRIES_OVER
    return shadow, canary, skipped


def _promote(sentences: Mapping[str, str]) -> Judged:
    rungs: tuple[Mapping[str, Any], ...] = tuple(
        write_skip(name, sentence) for name, sentence in sentences.items()
    )
    return Judged(rungs=rungs, to="active", reason="")
