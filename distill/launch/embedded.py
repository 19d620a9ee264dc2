"""The embedded student's training as a job: questions and answers there, student and gate back.

``python -m distill.launch.embedded`` does the job, by the same two calls as a cycle that trains in
its own process (``encode``, then ``train``), so the result differs in nothing.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from distill.dataset import Dataset
from distill.launch.job import Call, Job, Launcher, LaunchFailed, explain
from distill.steps import Steps
from distill.train.kernel_head import Examples, Trained, train
from distill.train.talk import Talk, open_talk
from distill.wording import answer_text
from policies.artifact import digest_of
from policies.fit.gate import NothingToCalibrate
from policies.scoring.gate import Gate
from router.students.embedded import EmbeddedStudent
from router.students.encoder import WEIGHTS_SHA256, Encoder

_MODULE = "distill.launch.embedded"

_AT_ONCE = 256
"""Questions that are encoded between two looks at how far it is."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What an embedded student is taught: a question each row, and the answers they point to."""

    texts: list[str]
    classes: list[int]
    weights: list[float]
    trust: list[float]
    answers: list[Mapping[str, Any]]

    @classmethod
    def of(cls, dataset: Dataset) -> Lesson:
        """A dataset's."""
        return cls(
            texts=[question.text for question in dataset.questions],
            classes=dataset.classes.tolist(),
            weights=dataset.weights.tolist(),
            trust=dataset.trust.tolist(),
            answers=[dict(answer) for answer in dataset.answers],
        )


Fit = Callable[[Dataset, Steps, int], tuple[Examples, Trained]]
"""Dataset, where to tell how far it is, seed → what was learned from, and what was learned."""


@dataclass(frozen=True, kw_only=True)
class FitHere:
    """In this process. ``threads``: None for as many as the libraries choose."""

    encoder: Encoder
    threads: int | None = None

    def __call__(self, dataset: Dataset, steps: Steps, seed: int) -> tuple[Examples, Trained]:
        """See ``Fit``. Raises what ``train`` raises."""
        steps.begin("encoding")
        examples = encode(self.encoder, Lesson.of(dataset), steps.advance)
        steps.begin("training")
        with threadpool_limits(self.threads):
            return examples, train(examples, seed=seed)


@dataclass(frozen=True, kw_only=True)
class FitElsewhere:
    """As a job. ``folder``: where its log is kept."""

    launcher: Launcher
    folder: Path

    def __call__(self, dataset: Dataset, steps: Steps, seed: int) -> tuple[Examples, Trained]:
        """See ``Fit``. Raises NothingToCalibrate, LaunchFailed, and what ``steps`` raises."""
        steps.begin("training")
        job = Job(
            workload=dataset.workload,
            dataset=dataset.digest,
            recipe={"name": "kernel_ridge", "seed": seed},
            needs={"encoder": WEIGHTS_SHA256},
            threads=self.launcher.threads or 1,
        )
        lesson = Lesson.of(dataset)
        head = {"threads": job.threads, "seed": seed, "lesson": vars(lesson)}
        log = self.folder / f"{job.name}.log"
        call = Call(job=job, module=_MODULE, text=json.dumps(head) + "\n", log=log)
        rows = len(lesson.texts)
        ended = self.launcher.run(call, lambda said: steps.advance(said.get("encoded", 0), rows))
        if "too_few" in ended.last:
            raise NothingToCalibrate(ended.last["too_few"])
        if "result" not in ended.last:
            raise LaunchFailed(ended.last.get("error") or explain(ended, log))
        log.unlink(missing_ok=True)
        return _read_result(ended.last["result"], lesson)


def encode(encoder: Encoder, lesson: Lesson, advance: Callable[[int, int], None]) -> Examples:
    """The lesson as vectors. ``advance``: is told done and total."""
    vectors = []
    for start in range(0, len(lesson.texts), _AT_ONCE):
        vectors.append(encoder.encode(lesson.texts[start : start + _AT_ONCE]))
        advance(min(start + _AT_ONCE, len(lesson.texts)), len(lesson.texts))
    texts = [answer_text(answer) for answer in lesson.answers]
    return _examples(np.concatenate(vectors), encoder.encode(texts), lesson)


def _examples(
    vectors: NDArray[np.float32], answer_vectors: NDArray[np.float32], lesson: Lesson
) -> Examples:
    return Examples(
        vectors=vectors,
        classes=np.asarray(lesson.classes, dtype=np.int32),
        answers=lesson.answers,
        answer_vectors=answer_vectors,
        weights=np.asarray(lesson.weights, dtype=np.float64),
        trust=np.asarray(lesson.trust, dtype=np.float64),
    )


def main() -> int:
    """At the job's end of the talk."""
    with open_talk(sys.argv[1:]) as talk:
        try:
            talk.say({"result": _work(talk)})
        except NothingToCalibrate as error:
            talk.say({"too_few": str(error)})
    return 0


def _work(talk: Talk) -> dict[str, Any]:
    job = json.loads(talk.source.readline())
    with threadpool_limits(job["threads"]):
        examples = encode(
            Encoder(threads=job["threads"]),
            Lesson(**job["lesson"]),
            lambda done, _: talk.say({"encoded": done}),
        )
        return _write_result(examples, train(examples, seed=job["seed"]))


def _write_result(examples: Examples, trained: Trained) -> dict[str, Any]:
    """In a form that JSON can carry, to the last bit; by digest."""
    student = trained.student
    if not isinstance(student, EmbeddedStudent):
        raise TypeError("only an embedded student is trained by this job")
    meta = {
        "signals": list(trained.gate.signals),
        "scorer": trained.gate.scorer.kind,
        "queries": student.queries,
        "gamma": student.gamma,
        "report": dict(trained.report),
    }
    arrays: dict[str, NDArray[Any]] = {
        "vectors": examples.vectors,
        "answer_vectors": examples.answer_vectors,
        "weights": student.weights,
        "classes": student.classes,
        "held_out": trained.held_out,
        "confidence": trained.confidence,
        **trained.gate.to_arrays(),
    }
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **arrays)
    packed = base64.b64encode(file.getvalue()).decode("ascii")
    return {"digest": digest_of(meta, arrays), "meta": meta, "arrays": packed}


def _read_result(result: Mapping[str, Any], lesson: Lesson) -> tuple[Examples, Trained]:
    meta = result["meta"]
    with np.load(io.BytesIO(base64.b64decode(result["arrays"])), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    if digest_of(meta, arrays) != result["digest"]:
        raise LaunchFailed("The job's result was damaged on its way; run the cycle again.")
    examples = _examples(arrays["vectors"], arrays["answer_vectors"], lesson)
    student = EmbeddedStudent(
        answers=lesson.answers,
        support=np.vstack([examples.vectors, examples.answer_vectors]),
        weights=arrays["weights"],
        classes=arrays["classes"],
        queries=meta["queries"],
        gamma=meta["gamma"],
    )
    trained = Trained(
        student=student,
        gate=Gate.from_arrays(tuple(meta["signals"]), meta["scorer"], arrays),
        held_out=arrays["held_out"],
        confidence=arrays["confidence"],
        report=meta["report"],
    )
    return examples, trained


if __name__ == "__main__":
    sys.exit(main())
