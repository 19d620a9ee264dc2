"""What a dataset is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from router.record.model import TrainingRow

MIN_ANSWERS = 100
"""Below this nothing is learned: a gate needs held-out drafts that agree and such that don't."""

MAX_QUESTIONS = 5_000
"""Of more, a random sample is taken: training takes time by the cube of this."""

MIN_COVERAGE = 0.5
"""Least share of the next answers that must be expected to have been seen before."""

_STANDS = 0.5

FORMAT = 1

Json = Any
Split = Literal["train", "held_out", "apart"]
Reasoning = Literal["keep", "shorten", "drop"]
Target = Literal["teacher", "gold"]


@dataclass(frozen=True, kw_only=True)
class BuildTerms:
    """How a dataset is made of its rows; part of its digest.

    ``most_questions``: of more, a random sample; ``near``: questions whose texts are at least so
    similar (Jaccard over runs of five characters) and have one answer become one, None: only those
    that fold to the same; ``held_out``: share of the questions, the newest, to evaluate on;
    ``reasoning``: what becomes of traces before an answer; ``since``: seconds since the epoch from
    which a question is new, None: all are; ``replay``: share of older questions beside new ones;
    ``target``: whether corrections are taught in place of the teacher's answers; ``changed_seq``:
    what the teacher said up to that record is trusted less (``distill.drift``, ``distill.trust``).
    """

    seed: int = 0
    most_questions: int = MAX_QUESTIONS
    near: float | None = 0.8
    held_out: float = 0.2
    reasoning: Reasoning = "keep"
    since: float | None = None
    replay: float = 0.15
    target: Target = "teacher"
    changed_seq: int | None = None


LEARNING_TERMS = BuildTerms(near=None, held_out=0.0)
"""Of the cycle that trains embedded students: its held-out drafts come from leaving one out, and
questions that are nearly alike are the traffic that it will meet."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """One interaction that a question stands for. ``user``: a pseudonym, where one was named."""

    id: str
    key_name: str
    user: str | None
    created_at: float


@dataclass(frozen=True, kw_only=True)
class Gold:
    """A client's correction. ``key``: the answer as the comparer sees it."""

    answer: Mapping[str, Json]
    key: str
    key_name: str
    source: Source


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question with the teacher's answer to it.

    ``key``: the answer that is taught, as the comparer sees it; ``weight``: how many interactions
    it stands for, the sum of 1/propensity over those that asked it; ``row``: the one whose answer
    it has, without its request; ``first_release``: the one in force when it was first asked.
    ``request``: the body as JSON text; ``sources``: all interactions it stands for, oldest first;
    ``gold``: a correction that was admitted; ``refuted``: a client scored the answer below zero;
    ``right_key``: the answer that feedback calls right, taught or not; ``teacher_key``: the
    teacher's own where a correction is taught, else None;
    ``group``: questions of one number belong together and are never split apart; ``trust``: below 1
    where the answer is from before a change of what the teacher says.
    """

    text: str
    key: str
    weight: float
    row: TrainingRow
    first_release: str | None
    request: str = "{}"
    sources: tuple[Source, ...] = ()
    gold: Gold | None = None
    refuted: bool = False
    right_key: str | None = None
    teacher_key: str | None = None
    group: int = 0
    split: Split = "train"
    replayed: bool = False
    trust: float = 1.0

    @property
    def stands(self) -> bool:
        """Whether little speaks against it that the teacher would say it again."""
        return self.trust >= _STANDS


@dataclass(frozen=True, kw_only=True)
class TokenScores:
    """A teacher's top log-probabilities of one answer, packed by whoever trains on them.

    ``captured_mass``: mean probability that the kept tokens have of all.
    """

    packed: bytes
    captured_mass: float


@dataclass(frozen=True, kw_only=True)
class Example:
    """One row of a stored dataset.

    ``request``: the chat-completions body, redacted, without the user; ``answer``: the teacher's,
    None where only a client's correction is known; ``gold``: that correction; ``rejected``: what
    is known to be worse than the target, best first; ``scores``: see ``TokenScores``.
    """

    id: str
    text: str
    request: Mapping[str, Json]
    answer: Mapping[str, Json] | None
    gold: Mapping[str, Json] | None
    gold_by: Source | None
    rejected: tuple[Mapping[str, Json], ...]
    key: str
    weight: float
    split: Split
    group: int
    replayed: bool
    teacher_model: str | None
    teacher_version: str | None
    sources: tuple[Source, ...]
    scores: TokenScores | None = None

    @property
    def target(self) -> Mapping[str, Json]:
        """What is to be learned: the correction where one was admitted, else the teacher's."""
        target = self.gold if self.gold is not None else self.answer
        if target is None:
            raise ValueError(f"example {self.id} has neither an answer nor a correction")
        return target


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A stored dataset: ``manifest`` says what went in, what didn't and why.

    Two bundles are the same exactly when their digests are. Nothing in it depends on when or where
    it was built.
    """

    manifest: Mapping[str, Json]
    examples: tuple[Example, ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What one workload has to teach, as an embedded student learns it.

    ``answers``: one per class, in the form that the teacher gave most often; ``classes``: the
    class of each question; ``dropped``: rows left out, by reason; ``coverage``: Good and Turing's
    estimate (1953) of the share of future answers that were seen before; ``forms``, ``prompts``:
    profiles of the requests that were asked often enough to learn from, prompts None where
    hardly two requests share one. ``make_bundle``: makes ``bundle`` when it is needed: that takes a
    third of a build's time, and a replay keeps no dataset.
    """

    workload: str
    comparer: str
    questions: Sequence[Question]
    classes: NDArray[np.int32]
    answers: Sequence[Mapping[str, Any]]
    rows: int
    dropped: Mapping[str, int]
    coverage: float
    forms: frozenset[str]
    prompts: frozenset[str] | None
    make_bundle: Callable[[], Bundle]

    @cached_property
    def bundle(self) -> Bundle:
        """The same as it is stored."""
        return self.make_bundle()

    def only(self, rows: NDArray[np.intp] | None) -> Dataset:
        """With these questions alone, all of them for None; stored it is the same dataset."""
        if rows is None:
            return self
        questions = [self.questions[i] for i in rows]
        return replace(
            self,
            questions=questions,
            classes=self.classes[rows],
            make_bundle=lambda: self.bundle,
        )

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How much each question counts, shape (questions,): old answers less."""
        return np.asarray([question.weight * question.trust for question in self.questions])

    @cached_property
    def trust(self) -> NDArray[np.float64]:
        """In each question's answer, shape (questions,)."""
        return np.asarray([question.trust for question in self.questions])

    @property
    def digest(self) -> str:
        """The stored dataset's."""
        return self.bundle.digest

    def describe(self, *, kept: bool) -> dict[str, Any]:
        """What went in and why not, JSON-ready. ``digest``: of the dataset where it is kept."""
        return {
            "digest": self.digest if kept else None,
            "comparer": self.comparer,
            "rows": self.rows,
            "questions": len(self.questions),
            "answers": len(self.answers),
            "coverage": round(self.coverage, 4),
            "dropped": dict(self.dropped),
            "before_change": int((self.trust < 1.0).sum()),
        }


@dataclass(kw_only=True)
class Tally:
    """What a build left out and did, while it runs: counts by reason."""

    dropped: dict[str, int] = field(default_factory=dict)
    gold: dict[str, int] = field(default_factory=dict)
    reasoning: dict[str, int] = field(default_factory=dict)

    def drop(self, reason: str, count: int = 1) -> None:
        """``count`` rows are left out for a reason."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count


def canonical(value: Json) -> bytes:
    """JSON in one form only: what digests are taken of."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def digest_of(manifest: Mapping[str, Json], lines: Sequence[bytes]) -> str:
    """SHA-256 in hexadecimal over a manifest without its digest and the examples' lines."""
    sha = hashlib.sha256(canonical({k: v for k, v in manifest.items() if k != "digest"}))
    for line in lines:
        sha.update(b"\n")
        sha.update(line)
    return sha.hexdigest()
