"""The embedded student over an encoder that was tuned on the same answers, where that wins.

Some questions, drawn by the seed, are kept from the tuning: only they can tell how good it is. The
head learns from all of them; leaving one out, a kept question's draft comes from a student that has
seen its answer nowhere, and those drafts alone teach the gate and climb the ladder. On them the
common encoder's vectors, the tuned one's and both side by side compete.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distill.dataset import MIN_ANSWERS, Dataset
from distill.launch.job import Launcher
from distill.launch.process import ProcessLauncher
from distill.train.encoder.job import TunedFile, TuningJob, run_tuning
from distill.train.encoder.tuning import BASE, LabelledText
from distill.train.job import Progress
from distill.train.kernel_head import Examples, Trained, train
from distill.wording import answer_text
from policies.fit.gate import NothingToCalibrate
from router.release import Release
from router.students.embedded import Vectors
from router.students.encoder import Encoder
from router.students.space import COMMON, FOLDER, Space, join

KEPT = 0.2
"""Share of the questions that the tuning doesn't see."""

_MOST_CACHED = 1_000_000
_COMMON = "common"

Tell = Callable[[int, int], None]
"""Done, of how many."""


@dataclass(frozen=True, kw_only=True)
class Tuner:
    """How an encoder is tuned. ``python``: of the environment that has torch; ``folder``: of
    checkpoints and curves; ``base``, ``pin``, ``options``, ``threads``: see ``TuningJob``;
    ``kept``: share of the questions that are kept from it; ``progress``: told of every step;
    ``launcher``: where it runs."""

    python: str
    folder: Path
    base: str = BASE
    pin: str | None = None
    options: Mapping[str, float | int] = field(default_factory=dict)
    threads: int | None = None
    kept: float = KEPT
    progress: Progress = lambda step, steps, loss: None
    launcher: Launcher = field(default_factory=ProcessLauncher)


@dataclass(frozen=True, kw_only=True)
class Learned:
    """``space``: in which ``trained`` drafts, ``vectors`` those of ``rows`` in it, None where
    nothing drafts here; ``rows``: the questions whose held-out drafts are honest, None where all
    are; ``report``: JSON-ready."""

    trained: Trained
    space: Space
    vectors: Vectors | None
    rows: NDArray[np.intp] | None = None
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TuningLesson:
    """``texts``: of the questions, in the order of ``examples``, which are in the common space;
    ``names``: of the answers; ``until``: when the last one was asked, in seconds since the
    epoch."""

    texts: Sequence[str]
    names: Sequence[str]
    examples: Examples
    until: float


@dataclass(frozen=True, kw_only=True)
class Rival:
    """Vectors to learn a head over: ``examples`` as ``space`` has them."""

    space: Space
    examples: Examples


def make_lesson(dataset: Dataset, examples: Examples) -> TuningLesson:
    """What a dataset has to teach an encoder."""
    return TuningLesson(
        texts=[question.text for question in dataset.questions],
        names=[answer_text(answer) for answer in dataset.answers],
        examples=examples,
        until=max(question.row.created_at for question in dataset.questions),
    )


def learn_tuned(
    tuner: Tuner, lesson: TuningLesson, untuned: Trained, releases: Path, *, seed: int, tell: Tell
) -> Learned:
    """Tune an encoder and choose the vectors that rank held-out drafts best.

    ``untuned``: what was learned in the common space; ``releases``: their folder. Raises
    TrainingFailed, and what ``train`` raises.
    """
    file = tune(tuner, lesson, seed=seed, tell=tell)
    rivals = find_rivals(lesson, file, releases, kept=tuner.kept, seed=seed)
    heads = {name: train(rival.examples, seed=seed) for name, rival in rivals.items()}
    best = choose(heads)
    examples = rivals[best].examples
    rows = examples.honest
    right = examples.classes[rows]
    report = {
        "chosen": best,
        "questions": len(rows),
        "agreement": {n: float((one.held_out == right).mean()) for n, one in heads.items()},
        "risk_area": {name: one.area for name, one in heads.items()},
        "tuned": {"digest": file.digest, "cosine": file.cosine, "curve": str(file.curve)},
        "base": file.manifest["base"],
    }
    if best == _COMMON:  # untuned, it has honest drafts for all questions
        vectors = lesson.examples.vectors
        return Learned(trained=untuned, space=COMMON, vectors=vectors, report=report)
    return Learned(
        trained=heads[best],
        space=rivals[best].space,
        vectors=examples.vectors[rows],
        rows=rows,
        report=report,
    )


def choose(heads: Mapping[str, Trained]) -> str:
    """The name of the head whose held-out margins rank right drafts before wrong ones best."""
    return min(heads, key=lambda name: heads[name].area)


def tune(tuner: Tuner, lesson: TuningLesson, *, seed: int, tell: Tell) -> TunedFile:
    """An encoder tuned on all questions but those that are kept. Raises TrainingFailed."""
    examples = lesson.examples
    fresh = draw_kept(len(lesson.texts), tuner.kept, seed)
    rows = [
        LabelledText(
            text=lesson.texts[i],
            label=int(examples.classes[i]),
            weight=float(examples.weights[i]),
        )
        for i in np.flatnonzero(~fresh).tolist()
    ]
    job = TuningJob(
        folder=str(tuner.folder),
        base=tuner.base,
        pin=tuner.pin,
        options={"seed": seed, **tuner.options},
        threads=tuner.threads,
    )

    def advance(step: int, steps: int, loss: float) -> None:
        tell(step, steps)
        tuner.progress(step, steps, loss)

    return run_tuning(
        job, rows, lesson.names, launcher=tuner.launcher, python=tuner.python, progress=advance
    )


def find_rivals(
    lesson: TuningLesson, file: TunedFile, releases: Path, *, kept: float, seed: int
) -> dict[str, Rival]:
    """The common encoder's vectors, the tuned one's, and both side by side; of all of them only the
    questions that were kept from the tuning are fresh."""
    fresh = draw_kept(len(lesson.texts), kept, seed)
    own, common = _take_in(file, releases, lesson.until), replace(lesson.examples, fresh=fresh)
    tuned = replace(
        common, vectors=own.encode(lesson.texts), answer_vectors=own.encode(lesson.names)
    )
    both = replace(
        common,
        vectors=join(common.vectors, tuned.vectors),
        answer_vectors=join(common.answer_vectors, tuned.answer_vectors),
    )
    return {
        _COMMON: Rival(space=COMMON, examples=common),
        "tuned": Rival(space=Space(common=False, tuned=own), examples=tuned),
        "both": Rival(space=Space(common=True, tuned=own), examples=both),
    }


def learn_over(
    space: Space,
    lesson: TuningLesson,
    asked: Sequence[float],
    encoder: Encoder,
    releases: Path,
    *,
    seed: int,
) -> Learned:
    """Head and gate anew over the encoder in force, which stays as it is. ``asked``: when each
    question was first asked, in seconds since the epoch. Raises NothingToCalibrate where too few
    were since it was tuned to tell how good it is, and what ``train`` raises."""
    if space.tuned is None:
        raise ValueError("the common encoder isn't tuned")
    until = json.loads((releases / FOLDER / f"{space.tuned.digest}.json").read_text("utf-8"))
    fresh = np.asarray(asked) > until["learned_until"]
    if fresh.sum() < MIN_ANSWERS:
        raise NothingToCalibrate(
            f"fewer than {MIN_ANSWERS} questions are new since its encoder was tuned; the release "
            "in force stays"
        )
    moved = replace(
        lesson.examples,
        vectors=space.encode(lesson.texts, encoder),
        answer_vectors=space.encode(lesson.names, encoder),
        fresh=fresh,
    )
    rows = moved.honest
    return Learned(
        trained=train(moved, seed=seed), space=space, vectors=moved.vectors[rows], rows=rows
    )


def encode_for(
    active: Release | None, learned: Learned, dataset: Dataset, encoder: Encoder
) -> Vectors | None:
    """The questions' vectors as the release in force sees them; None where none drafts here."""
    if learned.vectors is None or active is None:
        return None
    if active.encoder == learned.space.digest:
        return learned.vectors
    return active.space.encode([question.text for question in dataset.questions], encoder)


def draw_kept(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Which of ``count`` questions are kept from the tuning, at least as many as a gate needs."""
    kept = min(count // 2, max(MIN_ANSWERS, math.ceil(count * share)))
    fresh = np.zeros(count, dtype=np.bool_)
    fresh[np.random.default_rng([seed, count]).choice(count, kept, replace=False)] = True
    return fresh


def _take_in(file: TunedFile, releases: Path, until: float) -> Encoder:
    """The file beside the releases, where it serves from, and until when it knows answers."""
    folder = releases / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{file.digest}.onnx"
    if not target.exists():
        draft = folder / f".draft-{file.digest}"
        shutil.copyfile(file.path, draft)
        draft.replace(target)
    note = {"learned_until": until, "manifest": dict(file.manifest)}
    (folder / f"{file.digest}.json").write_text(json.dumps(note, indent=1), "utf-8")
    return Encoder(weights=target, digest=file.digest, cache=_MOST_CACHED)


def write_choice(report: Mapping[str, Any] | None) -> list[str]:
    """Lines for people: which vectors won, and by what; none where nothing was tuned."""
    if report is None:
        return []
    agreement = ", ".join(f"{name} {share:.1%}" for name, share in report["agreement"].items())
    return [
        f"Vectors: {report['chosen']}, chosen on {report['questions']} questions that the tuning "
        "didn't see.",
        f"  agreement there: {agreement}",
        f"  loss curve: {report['tuned']['curve']}",
    ]
