"""The vocabulary of a decision. This module imports nothing of ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Tier(StrEnum):
    """Who may answer an interaction, from cheap to dear."""

    RECALL = "recall"
    STUDENT = "student"
    TEACHER = "teacher"


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One function call of an answer; ``arguments`` is the JSON text as the model wrote it."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said, in the parts that matter for comparing, recording and learning."""

    content: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What of a request decides how two answers to it are compared.

    ``json``: the request asked for a JSON answer; ``json_schema``: its schema, where one was given;
    ``tools``: each offered tool's name with the JSON schema of its parameters.
    """

    json: bool = False
    json_schema: Mapping[str, Any] | None = None
    tools: Mapping[str, Mapping[str, Any] | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Features:
    """What is known about a request before any tier has been asked."""

    workload: str
    turns: int = 1
    prompt_chars: int = 0
    last_user_chars: int = 0
    has_tools: bool = False
    wants_json: bool = False
    stream: bool = False
    student_ready: bool = False
    """A promoted release with a student for this workload is loaded."""
    recall_ready: bool = False
    """The teacher has answered this question before, and the answer may be recalled."""
    cascadable: bool = True
    """False where a draft could not stand for the answer: several choices, images, scores."""


@dataclass(frozen=True, kw_only=True)
class InSlice:
    """What a slice's account needs of an interaction that belongs to the slice.

    ``level`` and ``floor``: as in ``Trial``, by the slice's own levels, and among the slice's
    interactions.
    """

    name: str
    level: int
    floor: float


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One step that a policy wants performed.

    ``commit``: the answer of this tier is delivered; no foreground ask may follow. A tier whose
    draft is already at hand is not asked again: its draft is delivered.
    ``propensity``: the probability with which this step was chosen, fixed before the coin fell;
    1.0 where no chance was involved. ``background``: after delivery, not awaited by the client.
    ``rung``: of several drafts, the one this step is about: which to make, to deliver, or to hold
    the teacher's answer against (see ``policies.cascade``); None: the only one.
    ``threshold``: the confidence that decided this step; ``level`` and ``floor``: what a
    certificate needs of the interaction (see ``Trial``); ``slices``: the same for each slice of the
    workload that it belongs to. ``verdict_share``: the probability with which the interaction was
    to be drawn for a verdict, whether or not it was; None where none is drawn.
    """

    tier: Tier
    commit: bool
    reason: str
    propensity: float = 1.0
    background: bool = False
    rung: str | None = None
    threshold: float | None = None
    level: int | None = None
    floor: float = 1.0
    slices: tuple[InSlice, ...] = ()
    verdict_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was measured on a request and a draft. ``None`` means not measured, never zero.

    ``confidence``: the gate's calibrated probability that the draft agrees with the teacher.
    ``signals``: named measurements, all finite, that a gate may read (see
    ``policies.scoring.gate``); what wasn't measured isn't in it.
    """

    available: bool
    confidence: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    release: str | None = None


@dataclass(frozen=True, kw_only=True)
class TraceStep:
    """An ask that was performed, with what came back."""

    ask: Ask
    evidence: Evidence | None = None


@dataclass(frozen=True, kw_only=True)
class Trace:
    """All asks of an interaction in order: what recording, explaining and replaying read."""

    steps: tuple[TraceStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One interaction as evidence for a certificate.

    ``level``: the strictest risk level whose threshold the draft's score passes (see
    ``policies.promise.certificate``); ``len(levels)`` where it passes none.
    ``seen``: the teacher's answer is known; ``propensity``: the probability that it became known;
    ``floor``: the smallest propensity any interaction could have had at that moment;
    ``wrong``: the draft disagrees with the teacher's answer (meaningful only where ``seen``);
    ``failed``: the teacher was asked and gave no answer; ``served``: the draft was delivered. Both
    at a propensity of 1 is a draft that stood in for a teacher that failed: whatever it was fit
    for, it counts as wrong. ``slices``: those that the interaction belongs to.

    Under a promise on accuracy an answer is ``seen`` where a verdict about it was drawn and is due;
    ``wrong`` is the draft by it, ``teacher_wrong`` the teacher's answer.

    For the watch (see ``policies.promise.drift``), None where not measured or not known:
    ``confidence``: the gate's for the draft; ``nearest``: its similarity to the nearest training
    query, 0..1; ``release``: the one that drafted; ``teacher_version``: what the teacher's upstream
    called its model; ``disagreed``: draft and teacher disagree; None also where ``wrong`` says it.
    """

    level: int
    seen: bool
    wrong: bool
    propensity: float
    floor: float
    failed: bool = False
    served: bool = False
    teacher_wrong: bool = False
    confidence: float | None = None
    nearest: float | None = None
    release: str | None = None
    teacher_version: str | None = None
    disagreed: bool | None = None
    slices: tuple[InSlice, ...] = ()

    def within(self, name: str) -> Trial | None:
        """The same interaction as evidence for a slice's account; None where it isn't of it."""
        found = next((one for one in self.slices if one.name == name), None)
        if found is None:
            return None
        return replace(self, level=found.level, floor=found.floor, slices=())
