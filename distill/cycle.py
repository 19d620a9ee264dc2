"""One learning cycle from top to bottom: records → dataset → student and gate → release.

It runs beside the gateway, in a process of its own. Nothing of it is visible to the gateway before
the last step, which moves one pointer in the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from distill.calibration import check_calibration
from distill.dataset import MIN_ANSWERS, MIN_COVERAGE, Dataset, build_dataset
from distill.dataset.folder import save as save_dataset
from distill.dataset.model import LEARNING_TERMS
from distill.drift import Drift
from distill.forgetting import check_forgetting
from distill.generative import find_student, keep_drafts_of
from distill.heartbeat import Heartbeat
from distill.launch.embedded import FitHere, Fitted
from distill.learner import (
    HeldOut,
    Learner,
    Outcome,
    Result,
    load_active,
    promises_agreement,
    terms_of,
)
from distill.next.learned import describe_learned
from distill.noise import find_noise
from distill.promote import Rung, climb, may_promote
from distill.steps import Steps, Stopped, Superseded, Unfinished
from distill.train.gate_alone import train_gate
from distill.train.kernel_head import Examples, Trained
from distill.train.tuned import Learned, encode_for, learn_over, learn_tuned, make_lesson
from distill.trial import plan_trial, put_forward
from distill.wording import count_of
from distill.writing import learn_writing
from policies.fit.gate import NothingToCalibrate
from policies.promise.certificate import Terms
from router.errors import ReleaseError
from router.generative.student import GenerativeStudent
from router.record.learning import cycle_lease
from router.record.model import Release as ReleaseRecord
from router.record.model import TrainingRow
from router.release import Release, save_release
from router.staging.judge import Judged
from router.students.embedded import EmbeddedStudent
from router.students.space import COMMON
from router.workload import find_settings


def run_cycle(learner: Learner, workload: str) -> Outcome:
    """Learn from all of a workload's answers; promote the release if the ladder lets it pass.

    Whatever goes wrong is recorded as the cycle's outcome before it is raised: Stopped, too.
    """
    store = learner.store
    tried = next((one for one in store.staged() if one.workload == workload), None)
    if tried is not None:
        sentence = f"{workload}: release {tried.number} is still on trial ({tried.state})."
        return Outcome(workload=workload, result="busy", sentence=sentence)
    cycle_id = store.begin_cycle(workload, store.count_answers(workload))
    if cycle_id is None:
        sentence = (
            f"{workload}: another cycle is running; "
            "one that was killed is given up within a minute."
        )
        return Outcome(workload=workload, result="busy", sentence=sentence)
    began_s = _core_seconds()
    beat = Heartbeat(store, cycle_lease(workload), cycle_id)
    steps = Steps(partial(store.note_cycle, cycle_id), learner.ended, lost=beat.is_lost)
    try:
        outcome = _learn(learner, workload, steps)
    except Superseded:
        raise  # its entry was closed by the one that took its place
    except BaseException as error:
        said = str(error) or type(error).__name__
        told = {"error": said, "steps": steps.taken(), **_count_core_seconds(began_s)}
        if isinstance(error, Unfinished):
            told["unfinished"] = True
        store.end_cycle(cycle_id, "failed", told)
        raise
    finally:
        beat.close()
    told = {"steps": steps.taken(), "sentence": outcome.sentence, **_count_core_seconds(began_s)}
    store.end_cycle(cycle_id, outcome.result, {**outcome.detail, **told})
    return outcome


def _core_seconds() -> float:
    """Of all cores, of this process and of those that it started and that have ended: a student
    that writes is trained in one of its own."""
    return sum(os.times()[:4])


def _count_core_seconds(began_s: float) -> dict[str, float]:
    return {"core_seconds": round(_core_seconds() - began_s, 3)}


def _learn(learner: Learner, workload: str, steps: Steps) -> Outcome:
    # 1. Records → dataset.
    steps.begin("reading")
    configured = find_settings(learner.settings, workload)
    promised = promises_agreement(configured)
    drift = Drift()
    if learner.settings.learning.on_drift:
        drift = learner.find_drift(learner.store, workload)
    active = load_active(learner.store, workload)
    written = learn_writing(learner, workload, drift.changed_seq, steps)
    if written is not None:
        return written
    student = None
    if learner.drafts == "served":
        student = find_student(learner.settings, active)
    rows = _rows_of(learner, workload, student)
    given = learner.drafts != "embedded"
    dataset = build_dataset(
        workload,
        rows,
        learner.settings,
        learner.redactor,
        corrected=learner.store.corrected(workload),
        terms=replace(
            LEARNING_TERMS,
            seed=learner.seed,
            most_questions=learner.most_questions,
            # What is promised is agreement with the teacher: there a correction would break it.
            target="teacher" if promised else "gold",
            changed_seq=drift.changed_seq,
        ),
        memory=learner.memory,
    )
    detail: dict[str, Any] = {"dataset": dataset.describe(kept=learner.datasets is not None)}
    unfit = _find_unfit(dataset, closed=not given)
    if unfit is not None:
        return Outcome(workload=workload, result=unfit[0], sentence=unfit[1], detail=detail)
    if learner.datasets is not None:
        save_dataset(learner.datasets, dataset.bundle)
    # 2. Dataset → student and gate, with held-out drafts for every question.
    examples = None
    try:
        if given:
            steps.begin("training")
            gate = replace(train_gate(dataset, seed=learner.seed), student=student)
            learned = Learned(trained=gate, space=COMMON, vectors=None)
        else:
            fit = learner.fit or FitHere(encoder=learner.encoder)
            fitted = fit(dataset, steps, learner.seed, drift.changes)
            dataset, examples = fitted.dataset, fitted.examples
            learned = _move(learner, fitted, active, steps)
    except NothingToCalibrate as error:
        sentence = f"{workload}: {error}."
        return Outcome(workload=workload, result="too_few", sentence=sentence, detail=detail)
    steps.begin("judging")
    outcome = _decide(learner, dataset, learned, active, detail)
    if examples is None or learned.rows is not None or not learner.live:
        return outcome
    told = _explain(dataset, examples, learned.trained, steps, seed=learner.seed)
    return replace(outcome, detail={**outcome.detail, **told})


def _move(learner: Learner, fitted: Fitted, active: Release | None, steps: Steps) -> Learned:
    """What was fitted, or instead of it a student and gate over an encoder of the workload's own,
    where there is or shall be one. Raises NothingToCalibrate where too little is new."""
    lesson = make_lesson(fitted.dataset, fitted.examples)
    if learner.tuner is not None:
        return learn_tuned(
            *(learner.tuner, lesson, fitted.trained, learner.folder),
            seed=learner.seed,
            tell=steps.advance,
        )
    if active is not None and active.space.tuned is not None:
        asked = [question.sources[0].created_at for question in fitted.dataset.questions]
        return learn_over(
            *(active.space, lesson, asked, learner.encoder, learner.folder), seed=learner.seed
        )
    return Learned(trained=fitted.trained, space=COMMON, vectors=fitted.examples.vectors)


def _rows_of(
    learner: Learner, workload: str, student: GenerativeStudent | None
) -> Iterable[TrainingRow]:
    store, memory = learner.store, learner.memory
    rows = store.training_rows(workload) if memory is None else memory.read(store, workload)
    return (
        rows if student is None else keep_drafts_of(student, rows, store.draft_versions(workload))
    )


def _decide(
    learner: Learner,
    whole: Dataset,
    learned: Learned,
    active: Release | None,
    detail: dict[str, Any],
) -> Outcome:
    """The second half of a cycle: what was trained becomes the release in force, or doesn't."""
    # Only what no encoder was tuned on can be judged by.
    dataset, trained = whole.only(learned.rows), learned.trained
    workload, settings = dataset.workload, learner.settings
    # 3. The ladder: what is known first, then what live traffic has to say.
    terms = terms_of(settings, workload)
    rungs = _climb_what_is_known(learner, dataset, learned, active, terms)
    if learned.report:
        detail["encoder"] = dict(learned.report)
    detail |= {**trained.report, "rungs": [rung.describe() for rung in rungs]}
    trial: Judged | None = None
    if may_promote(rungs):
        now = time.time() if learner.live else None
        trial = plan_trial(
            *(settings, learner.store, workload, trained.student, dataset.comparer, active),
            *(terms.confidence, now),
        )
        detail["rungs"] += [dict(rung) for rung in trial.rungs]
    # 4. Release, and the pointer to it.
    release = _keep(learner, dataset, learned, detail)
    if trial is None or release.state == "rejected":
        sentence = f"{workload}: {_explain_rejection(rungs)}"
        if active is None or active.digest != release.digest:
            learner.store.reject_release(release.digest, sentence)
        return Outcome(
            workload=workload, result="rejected", sentence=sentence, release=release, detail=detail
        )
    sentence = (
        f"{workload}: release {release.number} learned from "
        f"{count_of(len(whole.questions), 'question')} with "
        f"{count_of(len(dataset.answers), 'different answer')}."
    )
    held_out = HeldOut(
        ids=[question.row.id for question in dataset.questions],
        scores=trained.confidence,
        wrong=trained.held_out != dataset.classes,
    )
    outcome = put_forward(learner.store, release, trial, sentence, detail)
    return replace(outcome, held_out=held_out if outcome.result == "promoted" else None)


def _climb_what_is_known(
    learner: Learner, dataset: Dataset, learned: Learned, active: Release | None, terms: Terms
) -> list[Rung]:
    trained, known = learned.trained, None if active is None else active.student
    return [
        *climb(dataset, trained, active, terms),
        check_calibration(dataset, trained, terms),
        check_forgetting(
            *(dataset, learner.settings, trained.student, known),
            *(learned.vectors, encode_for(active, learned, dataset, learner.encoder)),
        ),
    ]


def _find_unfit(dataset: Dataset, *, closed: bool) -> tuple[Result, str] | None:
    """Why nothing can be learned from these answers yet, or at all; None where it can."""
    count = len(dataset.questions)
    if count < MIN_ANSWERS:
        dropped = ", ".join(f"{n} {reason}" for reason, n in dataset.dropped.items())
        why = f" ({dropped})" if dropped else ""
        return "too_few", (
            f"{dataset.workload}: {count} of {dataset.rows} answers can be learned from{why}; "
            f"{MIN_ANSWERS} are needed."
        )
    if closed and dataset.coverage < MIN_COVERAGE:
        return "open_ended", (
            f"{dataset.workload}: only {dataset.coverage:.0%} of new answers have been given "
            "before, so they are no closed set; the teacher keeps answering."
        )
    return None


def _explain(
    dataset: Dataset, examples: Examples, trained: Trained, steps: Steps, *, seed: int
) -> dict[str, Any]:
    """What people look at; what was promoted serves meanwhile."""
    # 5. Curve, failures, noise. Who stops the cycle here takes back nothing that was decided.
    try:
        steps.begin("explaining")
    except Stopped:
        return {}
    noise = find_noise(dataset, examples.vectors, trained.held_out)
    learned = describe_learned(dataset, examples, trained, seed=seed)
    return {**learned, "teacher_noise": noise.describe()}


def _keep(
    learner: Learner, dataset: Dataset, learned: Learned, report: Mapping[str, Any]
) -> ReleaseRecord:
    trained = learned.trained
    is_embedded = isinstance(trained.student, EmbeddedStudent)
    try:
        digest, path = save_release(
            learner.folder,
            workload=dataset.workload,
            comparer=dataset.comparer,
            encoder=learned.space.digest,
            student=trained.student,
            gate=trained.gate,
            # A student that isn't trained here may answer in forms that hardly two requests share.
            forms=dataset.forms if dataset.forms or is_embedded else None,
            prompts=dataset.prompts,
            dataset=None if learner.datasets is None else dataset.digest,
        )
    except OSError as error:
        raise ReleaseError(
            f"The release can't be written to {learner.folder}: "
            f"{error.strerror or type(error).__name__}; make room or set its permissions."
        ) from error
    return learner.store.add_release(
        digest=digest, workload=dataset.workload, path=str(path), report=report
    )


def _explain_rejection(rungs: list[Rung]) -> str:
    failed = next((rung for rung in rungs if rung.verdict == "failed"), None)
    if failed is None:
        return "not promoted: the same release was rejected before; more answers make another."
    return f"not promoted, by its {failed.name.replace('_', ' ')}. {failed.sentence}"
