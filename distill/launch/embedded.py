"""The embedded student's training as a job: questions and answers there, student and gate back.

``python -m distill.launch.embedded`` does the job, by the same two calls as a cycle that trains in
its own process (``encode``, then ``train``), so the result differs in nothing.
"""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
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
from distill.trust import judge_trust
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


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """``dataset``: with the trust that its answers kept; ``examples``: what was learned from."""

    dataset: Dataset
    examples: Examples
    trained: Trained


Fit = Callable[[Dataset, Steps, int, Sequence[int]], Fitted]
"""Dataset, where to tell how far it is, seed, and the last record before each change of what the
teacher says (``judge_trust``)."""


@dataclass(frozen=True, kw_only=True)
class FitHere:
    """In this process. ``threads``: None for as many as the libraries choose."""

    encoder: Encoder
    threads: int | None = None

    def __call__(self, dataset: Dataset, steps: Steps, seed: int, changes: Sequence[int]) -> Fitted:
        """See ``Fit``. Raises what ``train`` raises."""
        steps.begin("encoding")
        lesson = Lesson.of(dataset)
        vectors = encode(self.encoder, lesson.texts, steps.advance)
        with threadpool_limits(self.threads):
            dataset = judge_trust(dataset, vectors, changes)
        examples = _examples(vectors, _encode_answers(self.encoder, lesson), Lesson.of(dataset))
        steps.begin("training")
        with threadpool_limits(self.threads):
            return Fitted(dataset=dataset, examples=examples, trained=train(examples, seed=seed))


@dataclass(frozen=True, kw_only=True)
class FitElsewhere:
    """As a job. ``folder``: where its log is kept; ``encoder``: for what is told apart here."""

    launcher: Launcher
    folder: Path
    encoder: Encoder

    def __call__(self, dataset: Dataset, steps: Steps, seed: int, changes: Sequence[int]) -> Fitted:
        """See ``Fit``. Raises NothingToCalibrate, LaunchFailed, and what ``steps`` raises."""
        threads = self.launcher.threads or 1
        if changes:  # which answers still stand is part of what the job is given
            steps.begin("encoding")
            asked = [question.text for question in dataset.questions]
            vectors = encode(self.encoder, asked, steps.advance)
            with threadpool_limits(threads):
                dataset = judge_trust(dataset, vectors, changes)
        steps.begin("training")
        job = Job(
            workload=dataset.workload,
            dataset=dataset.digest,
            recipe={"name": "kernel_ridge", "seed": seed, "changes": list(changes)},
            needs={"encoder": WEIGHTS_SHA256},
            threads=threads,
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
        examples, trained = _read_result(ended.last["result"], lesson)
        return Fitted(dataset=dataset, examples=examples, trained=trained)


def encode(
    encoder: Encoder, texts: Sequence[str], advance: Callable[[int, int], None]
) -> NDArray[np.float32]:
    """The texts as vectors. ``advance``: is told done and total."""
    vectors = []
    for start in range(0, len(texts), _AT_ONCE):
        vectors.append(encoder.encode(texts[start : start + _AT_ONCE]))
        advance(min(start + _AT_ONCE, len(texts)), len(texts))
    return np.concatenate(vectors)


def _encode_answers(encoder: Encoder, lesson: Lesson) -> NDArray[np.float32]:
    return encoder.encode([answer_text(answer) for answer in lesson.answers])


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
        encoder, lesson = Encoder(threads=job["threads"]), Lesson(**job["lesson"])
        vectors = encode(encoder, lesson.texts, lambda done, _: talk.say({"encoded": done}))
        examples = _examples(vectors, _encode_answers(encoder, lesson), lesson)
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
