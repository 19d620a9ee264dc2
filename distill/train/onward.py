"""The way of a student that writes, from top to bottom: dataset → adapter → gate → candidate.

It begins with what may fail at once, since training takes long. What follows a candidate (shadow,
canary, in force) is the same for every release: ``router.promotion``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from distill.dataset.build import find_common
from distill.dataset.model import Bundle
from distill.generative import Learned, adopt, need_student
from distill.launch.job import Job as Described
from distill.launch.job import Launcher
from distill.train.job import Job, NotTrainable, Trained, run_job
from distill.train.judging import Judgement, NoDrafts, check_servers, judge_held_out
from distill.train.taught import teach
from router.generative.adapters import NotResident
from router.generative.student import GenerativeStudent, keep_adapter
from router.record.model import Release as ReleaseRecord
from router.record.store import Store
from router.release import Release
from router.settings.model import Settings
from router.students.encoder import WEIGHTS_SHA256
from router.wire.profile import profile_of

Tell = Callable[[int, int, str], None]
"""Done, of how many, what: for the progress line."""


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Who looks on. ``tell``: how far it is; ``begin``: a part begins; ``check``: is called once in
    a while as long as it trains. What the latter two raise ends it."""

    tell: Tell
    begin: Callable[[Literal["training", "judging"]], None] = lambda part: None
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class Course:
    """``bundle``: what is taught, and what is held out; ``launcher``: where that is done;
    ``python``: of the environment that trains; ``releases``: their folder; ``with_gate``: fit one
    on held-out drafts."""

    settings: Settings
    store: Store
    bundle: Bundle
    job: Job
    launcher: Launcher
    python: str
    releases: Path
    with_gate: bool
    seed: int

    @property
    def workload(self) -> str:
        return str(self.bundle.manifest["workload"])


@dataclass(frozen=True, kw_only=True)
class Taught:
    """``judgement``: of the held-out drafts, None where the servers gave none; ``problem``: why
    there is no gate although one was asked for, a sentence, else empty; ``report``: JSON-ready."""

    adapter: Path
    judgement: Judgement | None
    problem: str
    report: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Entered:
    """The candidate; ``problem``: why it has no gate, as in ``Taught``."""

    release: ReleaseRecord
    problem: str = ""


def train_and_adopt(course: Course, watching: Watching) -> Entered:
    """Train, judge, enter. Called again after it was ended, it goes on where it was.

    Raises TrainingFailed, NotResident, ConfigError or ReleaseError before a candidate is there.
    """
    taught = train_and_judge(course, watching)
    release, why = enter(course, taught), taught.problem
    return Entered(
        release=release, problem=why and f"The student is a candidate without a gate. {why}"
    )


def train_and_judge(course: Course, watching: Watching) -> Taught:
    """All but the last step. Raises TrainingFailed (NotTrainable where it would again),
    LaunchFailed, NotResident or ConfigError."""
    # 1. What may fail at once.
    need_student(course.settings)
    taught, left_out = teach(
        (one for one in course.bundle.examples if one.split == "train"),
        ranked=course.job.recipe == "preference",
    )
    if not taught:
        reasons = ", ".join(f"{count} with {why}" for why, count in left_out.items())
        raise NotTrainable(
            f"No example of the dataset can be learned from ({reasons or 'all are held out'})."
        )
    if course.with_gate:
        asyncio.run(check_servers(course.settings))
    # 2. Dataset → adapter, in the environment that has torch.
    watching.begin("training")
    trained = run_job(
        course.job,
        taught,
        described=_describe(course),
        launcher=course.launcher,
        python=course.python,
        progress=lambda step, of, loss: watching.tell(step, of, f"training, loss {loss:.4f}"),
        check=watching.check,
    )
    # 3. Its drafts for what was held out → gate.
    watching.begin("judging")
    judgement, problem = _judge(course, trained, watching.tell)
    report = {
        "recipe": course.job.recipe,
        "dataset": describe(course.bundle),
        "examples": len(taught),
        "left_out": dict(left_out),
        "adapter": {"name": trained.adapter.name, "folder": str(trained.adapter)},
        "base": trained.manifest["base"],
        "teacher_tier": trained.manifest["teacher_tier"],
        **_scored_by(course.job),
        "curve": str(trained.curve),
        "judged": None if judgement is None else judgement.report,
    }
    return Taught(adapter=trained.adapter, judgement=judgement, problem=problem, report=report)


def describe(bundle: Bundle) -> dict[str, Any]:
    """What went in and why not, JSON-ready, as ``Dataset.describe`` has it."""
    manifest = bundle.manifest
    return {
        "digest": bundle.digest,
        **{name: manifest[name] for name in ("comparer", "rows", "answers", "dropped")},
        "questions": len(bundle.examples),
    }


def _describe(course: Course) -> Described:
    job = course.job
    return Described(
        workload=course.workload,
        dataset=course.bundle.digest,
        recipe={"name": job.recipe, **job.options},
        needs={"base": job.base, "pin": job.pin, "start": job.start, **_scored_by(job, "upstream")},
        threads=job.threads,
    )


def _scored_by(job: Job, *more: str) -> dict[str, str]:
    if job.scorer is None:
        return {}
    return {"scorer": " ".join(str(job.scorer[part]) for part in ("name", "model", *more))}


def _judge(course: Course, trained: Trained, tell: Tell) -> tuple[Judgement | None, str]:
    if not course.with_gate:
        return None, ""
    held_out = [one for one in course.bundle.examples if one.split == "held_out"]
    student = GenerativeStudent(
        base=need_student(course.settings), adapter=keep_adapter(trained.adapter, course.releases)
    )
    release = Release(
        digest="",
        workload=course.workload,
        comparer=str(course.bundle.manifest["comparer"]),
        encoder=WEIGHTS_SHA256,
        student=student,
        gate=None,
    )
    try:
        judgement = judge_held_out(
            course.settings,
            release,
            held_out,
            seed=course.seed,
            tell=lambda done, total: tell(done, total, "drafting what was held out"),
        )
    except (NoDrafts, NotResident) as error:
        return None, str(error)
    return judgement, f"{judgement.why[:1].upper()}{judgement.why[1:]}." if judgement.why else ""


def enter(course: Course, taught: Taught, rungs: Sequence[Mapping[str, Any]] = ()) -> ReleaseRecord:
    """The last step: all of it as a candidate. ``rungs``: decisions about it so far. Raises
    ReleaseError."""
    profiles = [profile_of(one.request) for one in course.bundle.examples]
    learned = Learned(
        comparer=str(course.bundle.manifest["comparer"]),
        gate=None if taught.judgement is None else taught.judgement.gate,
        forms=find_common(one.form for one in profiles),
        prompts=find_common(one.prompt for one in profiles),
        dataset=course.bundle.digest,
        report={**taught.report, "rungs": list(rungs)} if rungs else taught.report,
    )
    return adopt(
        course.settings,
        course.store,
        course.releases,
        course.workload,
        source=taught.adapter,
        learned=learned,
    )
