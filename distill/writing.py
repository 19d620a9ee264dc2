"""A cycle for a student that writes: records → dataset → adapter → gate → candidate → its trial.

Taken where ``learning.train`` is configured and there are answers enough to hold some out for a
gate; before that a cycle learns the gate of the student as it is (``distill.cycle``).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distill.dataset import MIN_ANSWERS, BuildTerms, Bundle, Dataset, build_dataset
from distill.dataset.folder import DatasetError, find, load, save
from distill.generative import need_student
from distill.heartbeat import hold
from distill.launch.choose import make_launcher
from distill.launch.job import Launcher
from distill.learner import Learner, Outcome, load_active, promises_agreement, terms_of
from distill.promote import Rung, compare, find_reason_not_to_compare, may_promote, skip
from distill.steps import Steps, Unfinished
from distill.train.job import (
    Job,
    NotTrainable,
    TrainingFailed,
    find_here,
    find_training,
    name_recipe,
)
from distill.train.judging import Judged
from distill.train.onward import Course, Taught, Watching, enter, train_and_judge
from distill.train.scored import find_scorer
from distill.trial import plan_trial, put_forward
from distill.wording import count_of
from router.errors import TutelageError
from router.generative.student import GenerativeStudent, keep_adapter
from router.release import Release
from router.settings.train import TrainSettings
from router.staging.judge import Judged as Planned
from router.workload import find_settings

_HELD_OUT = round(1.1 * MIN_ANSWERS)
"""So many held-out questions are enough for a gate, also where a few drafts fail."""

_FEWEST = round(_HELD_OUT / BuildTerms().held_out)
"""Of fewer answers so many can't be held out."""

_UNDER_WAY = "under-way.json"


class NotJudged(Unfinished):
    """What was trained couldn't be judged or tried yet; the training isn't lost."""


class Withdrawn(TutelageError):
    """What it was trained on was erased meanwhile."""


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
    learner: Learner, workload: str, changed_seq: int | None, steps: Steps
) -> Outcome | None:
    """Train, judge and enter a student, and begin its trial; None where none is to be trained or
    too few answers are unlike those before. ``changed_seq``: what the teacher said up to that
    record is trusted less.

    Raises TrainingFailed, Withdrawn, NotResident, LaunchFailed, ConfigError or ReleaseError; and
    Unfinished, after which the next cycle goes on from the last checkpoint.
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
        dataset = _build(learner, workload, changed_seq)
        if sum(one.split == "held_out" for one in dataset.questions) < _HELD_OUT:
            return None  # before the texts are redacted and written out: another build follows
        bundle = dataset.bundle
        save(datasets, bundle)
        under_way.write(bundle)
    # 2. Dataset → adapter and gate.
    course = _plan(learner, workload, bundle, terms)
    with hold(learner.store, f"train:{workload}") as held:
        if held is None:
            sentence = f"{workload}: another run is training it."
            return Outcome(workload=workload, result="busy", sentence=sentence)
        taught = _train(course, under_way, steps)
    # 3. Whether it may go on: hours may have passed.
    if under_way.read(datasets) is None:
        under_way.end()
        raise Withdrawn(f"{workload}: what it was trained on was erased meanwhile.")
    if taught.judgement is None:
        raise NotJudged(f"{workload}: trained, to be judged by the next cycle. {taught.problem}")
    if taught.judgement.gate is None:
        under_way.end()
        sentence = f"{workload}: not a candidate, since it has no gate. {taught.problem}"
        return Outcome(
            workload=workload, result="rejected", sentence=sentence, detail=taught.report
        )
    # 4. The ladder, a candidate, and what becomes of it.
    outcome = _decide(learner, course, taught, taught.judgement.drafts, changed_seq)
    under_way.end()
    # A few times as large as the adapter, and nobody goes on from it any more.
    (Path(taught.report["curve"]).parent / "checkpoint.pt").unlink(missing_ok=True)
    return outcome


def _train(course: Course, under_way: UnderWay, steps: Steps) -> Taught:
    """Raises as ``train_and_judge``, and Stopped."""
    try:
        return train_and_judge(
            course,
            Watching(
                tell=lambda done, total, what: steps.note(done, total),
                begin=steps.begin,
                check=steps.check,
            ),
        )
    except NotTrainable:
        under_way.end()  # more answers may be what it lacks
        raise
    except TrainingFailed:
        steps.check()  # who stops this process may have stopped the other one first
        raise


def _build(learner: Learner, workload: str, changed_seq: int | None) -> Dataset:
    configured = find_settings(learner.settings, workload)
    promised = promises_agreement(configured)
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
    )


def _plan(learner: Learner, workload: str, bundle: Bundle, terms: TrainSettings) -> Course:
    launcher: Launcher = make_launcher(learner.settings)
    job = Job(
        base=find_here(terms.base),
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
        python=sys.executable if terms.python is None else find_here(terms.python),
        releases=learner.folder,
        with_gate=True,
        seed=learner.seed,
    )


def _decide(
    learner: Learner,
    course: Course,
    taught: Taught,
    drafts: Sequence[Judged],
    changed_seq: int | None,
) -> Outcome:
    workload, store = course.workload, learner.store
    # What is in force now, not when the training began.
    active = load_active(store, workload)
    if any(one.workload == workload for one in store.staged()):
        raise NotJudged(f"{workload}: trained, and waits for the release that is on trial.")
    rungs = [_compare_held_out(learner, course, drafts, active, changed_seq)]
    trial = _plan_trial(learner, course, taught, active) if may_promote(rungs) else None
    told = [rung.describe() for rung in rungs]
    told += [] if trial is None else [dict(rung) for rung in trial.rungs]
    release = enter(course, taught, told)
    detail = {**taught.report, "rungs": told}
    made = f"release {release.number} learned from {count_of(detail['examples'], 'example')}"
    if trial is not None and release.state != "rejected":
        return put_forward(store, release, trial, f"{workload}: {made}.", detail)
    failed = next((rung for rung in rungs if rung.verdict == "failed"), None)
    why = "the same was rejected before." if failed is None else failed.sentence
    sentence = f"{workload}: {made}, and is not promoted: {why}"
    if release.state not in ("active", "rejected"):
        store.reject_release(release.digest, sentence)
    return Outcome(
        workload=workload, result="rejected", sentence=sentence, release=release, detail=detail
    )


def _compare_held_out(
    learner: Learner,
    course: Course,
    drafts: Sequence[Judged],
    active: Release | None,
    changed_seq: int | None,
) -> Rung:
    """Its drafts for held-out questions beside those that the release in force made when they were
    first asked; answers from before a change are left out, and corrected ones."""
    why = find_reason_not_to_compare(active, str(course.bundle.manifest["comparer"]))
    if active is None or why is not None:
        return skip(why or "")
    first = {
        row.id: row
        for row in learner.store.training_rows(course.workload)
        if row.release == active.digest
        and row.draft_agreed is not None
        and (changed_seq is None or row.seq > changed_seq)
    }
    pairs = [
        (first[one.example.sources[0].id], one.agreed)
        for one in drafts
        if one.example.gold is None and one.example.sources[0].id in first
    ]
    return compare(
        "agreement",
        np.asarray([row.draft_agreed for row, _ in pairs], dtype=np.bool_),
        np.asarray([agreed for _, agreed in pairs], dtype=np.bool_),
        np.asarray([1.0 / row.propensity for row, _ in pairs]),
    )


def _plan_trial(
    learner: Learner, course: Course, taught: Taught, active: Release | None
) -> Planned:
    student = GenerativeStudent(
        base=need_student(learner.settings),
        adapter=keep_adapter(taught.adapter, course.releases),
    )
    return plan_trial(
        learner.settings,
        learner.store,
        course.workload,
        student,
        str(course.bundle.manifest["comparer"]),
        active,
        terms_of(learner.settings, course.workload).confidence,
        time.time() if learner.live else None,
    )
