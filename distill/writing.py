"""A cycle for a student that writes: records → dataset → adapter → gate → candidate → its trial.

Taken where ``learning.train`` is configured and there are answers enough to hold some out for a
gate; before that a cycle learns the gate of the student as it is (``distill.cycle``).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distill.dataset import MIN_ANSWERS, BuildTerms, Bundle, build_dataset
from distill.dataset.folder import DatasetError, find, load, save
from distill.generative import need_student
from distill.heartbeat import hold
from distill.launch.choose import make_launcher
from distill.launch.job import Launcher
from distill.learner import Learner, Outcome, terms_of
from distill.promote import Rung, compare, may_promote
from distill.steps import Steps, Stopped
from distill.train.job import Job, TrainingFailed, find_base, find_training, name_recipe
from distill.train.judging import Judged
from distill.train.onward import TRAINING, Course, Taught, enter, train_and_judge
from distill.train.scored import find_scorer
from distill.trial import plan_trial, put_forward
from distill.wording import count_of
from router.errors import TutelageError
from router.generative.student import GenerativeStudent, keep_adapter
from router.record.model import Release as ReleaseRecord
from router.record.model import TrainingRow
from router.release import Release
from router.settings.train import TrainSettings
from router.staging.judge import Judged as Planned
from router.workload import find_settings

_TERMS = BuildTerms()
_FEWEST = round(MIN_ANSWERS / _TERMS.held_out)
"""Questions of which the held-out ones are enough for a gate."""

_UNDER_WAY = "under-way.json"


class NotJudged(TutelageError):
    """The student's servers gave no drafts; the training isn't lost."""


@dataclass(frozen=True, kw_only=True)
class UnderWay:
    """The dataset that a workload's training began with, until the training has ended: one that was
    killed goes on with it, whatever came in since."""

    path: Path

    def read(self, datasets: Path) -> Bundle | None:
        """None where nothing is under way, or its dataset is gone."""
        with suppress(OSError, ValueError, KeyError, DatasetError):
            return load(find(datasets, str(json.loads(self.path.read_text("utf-8"))["dataset"])))
        return None

    def write(self, bundle: Bundle) -> None:
        """Say so."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"dataset": bundle.digest}), "utf-8")

    def end(self) -> None:
        """Nothing is."""
        self.path.unlink(missing_ok=True)


def learn_writing(
    learner: Learner,
    workload: str,
    active: Release | None,
    changed_seq: int | None,
    steps: Steps,
) -> Outcome | None:
    """Train, judge and enter a student, and begin its trial; None where none is to be trained or
    there are too few answers yet. ``changed_seq``: what the teacher said up to that record is
    trusted less.

    Raises TrainingFailed, NotJudged, NotResident, LaunchFailed, ConfigError or ReleaseError, and
    Stopped: the next cycle goes on from the last checkpoint then.
    """
    terms, datasets = learner.settings.learning.train, learner.datasets
    if terms is None or datasets is None or learner.drafts != "served":
        return None
    if learner.store.count_answers(workload) < _FEWEST:
        return None
    under_way = UnderWay(path=find_training(learner.settings, workload) / _UNDER_WAY)
    # 1. Records → dataset, or the one that a killed training began with.
    bundle = under_way.read(datasets)
    if bundle is None:
        bundle = _build(learner, workload, changed_seq)
        if len(bundle.examples) < _FEWEST:
            return None
        save(datasets, bundle)
        under_way.write(bundle)
    detail: dict[str, Any] = {"dataset": dict(bundle.manifest)}
    # 2. Dataset → adapter and gate.
    course = _plan(learner, workload, bundle, terms)
    with hold(learner.store, f"train:{workload}") as held:
        if held is None:
            sentence = f"{workload}: another run is training it."
            return Outcome(workload=workload, result="busy", sentence=sentence, detail=detail)
        try:
            taught = train_and_judge(course, Follow(steps))
        except TrainingFailed:
            under_way.end()  # more answers may be what it lacks
            raise
    detail = {**taught.report, **detail}
    if taught.judgement is None:
        raise NotJudged(
            f"{workload}: trained, and to be judged by the next cycle. {taught.problem}"
        )
    if taught.judgement.gate is None:
        under_way.end()
        sentence = f"{workload}: not a candidate, since it has no gate. {taught.problem}"
        return Outcome(workload=workload, result="rejected", sentence=sentence, detail=detail)
    # 3. The ladder: what is known first, then what live traffic has to say.
    rungs = [_compare_held_out(learner, workload, taught.judgement.drafts, active)]
    trial = _plan_trial(learner, workload, taught, course, active) if may_promote(rungs) else None
    told = [rung.describe() for rung in rungs]
    told += [] if trial is None else [dict(rung) for rung in trial.rungs]
    # 4. A candidate, and what becomes of it.
    release = enter(course, taught, told)
    under_way.end()
    detail["rungs"] = told
    return _decide(learner, release, rungs, trial, detail)


def _build(learner: Learner, workload: str, changed_seq: int | None) -> Bundle:
    configured = find_settings(learner.settings, workload)
    promised = configured is not None and configured.promise is not None
    return build_dataset(
        workload,
        learner.store.training_rows(workload),
        learner.settings,
        learner.redactor,
        corrected=learner.store.corrected(workload),
        terms=BuildTerms(
            seed=learner.seed,
            # What is promised is agreement with the teacher: there a correction would break it.
            target="teacher" if promised else "gold",
            changed_seq=changed_seq,
        ),
    ).bundle


def _plan(learner: Learner, workload: str, bundle: Bundle, terms: TrainSettings) -> Course:
    launcher: Launcher = make_launcher(learner.settings)
    job = Job(
        base=find_base(terms.base),
        pin=terms.pin,
        folder=str(find_training(learner.settings, workload)),
        recipe=name_recipe(terms.recipe),
        options={**terms.options, "seed": learner.seed},
        threads=terms.threads or launcher.threads,
        scorer=None if terms.scorer is None else find_scorer(learner.settings, terms.scorer),
    )
    return Course(
        settings=learner.settings,
        store=learner.store,
        bundle=bundle,
        job=job,
        launcher=launcher,
        python=terms.python or sys.executable,
        releases=learner.folder,
        with_gate=True,
        seed=learner.seed,
    )


class Follow:
    """A training's progress as steps of the cycle."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._judging = False
        steps.begin("training")

    def __call__(self, done: int, total: int, what: str) -> None:
        if what.startswith(TRAINING):
            self._steps.advance(done, total)
            return
        # Drafts take minutes at most, and many are under way: those are waited for.
        with suppress(Stopped):
            if not self._judging:
                self._judging = True
                self._steps.begin("judging")
            self._steps.advance(done, total)


def _compare_held_out(
    learner: Learner, workload: str, drafts: Sequence[Judged], active: Release | None
) -> Rung:
    """Its drafts for held-out questions beside those that the release in force made when they were
    first asked."""
    if active is None or active.gate is None:
        sentence = (
            "There is no release in force to compare with; the certificate decides."
            if active is None
            else "The release in force serves nothing yet; the certificate decides."
        )
        return Rung(name="agreement", verdict="skipped", sentence=sentence, questions=0)
    first: dict[str, TrainingRow] = {
        row.id: row
        for row in learner.store.training_rows(workload)
        if row.release == active.digest and row.draft_agreed is not None
    }
    pairs = [
        (first[one.example.sources[0].id], one.agreed)
        for one in drafts
        if one.example.sources[0].id in first
    ]
    return compare(
        "agreement",
        np.asarray([row.draft_agreed for row, _ in pairs], dtype=np.bool_),
        np.asarray([agreed for _, agreed in pairs], dtype=np.bool_),
        np.asarray([1.0 / row.propensity for row, _ in pairs]),
    )


def _plan_trial(
    learner: Learner, workload: str, taught: Taught, course: Course, active: Release | None
) -> Planned:
    student = GenerativeStudent(
        base=need_student(learner.settings),
        adapter=keep_adapter(taught.adapter, course.releases),
    )
    return plan_trial(
        learner.settings,
        learner.store,
        workload,
        student,
        str(course.bundle.manifest["comparer"]),
        active,
        terms_of(learner.settings, workload).confidence,
        time.time() if learner.live else None,
    )


def _decide(
    learner: Learner,
    release: ReleaseRecord,
    rungs: Sequence[Rung],
    trial: Planned | None,
    detail: Mapping[str, Any],
) -> Outcome:
    workload, store = release.workload, learner.store
    made = f"release {release.number} learned from {count_of(detail['examples'], 'example')}"
    if trial is None or release.state == "rejected":
        failed = next((rung for rung in rungs if rung.verdict == "failed"), None)
        why = "the same was rejected before" if failed is None else failed.sentence
        sentence = f"{workload}: {made}, and is not promoted: {why}"
        if release.state not in ("active", "rejected"):
            store.reject_release(release.digest, sentence)
        return Outcome(
            workload=workload, result="rejected", sentence=sentence, release=release, detail=detail
        )
    return put_forward(store, release, trial, f"{workload}: {made}.", detail)
