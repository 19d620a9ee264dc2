"""The explanation of one decision: facts in, words added. Pure.

Facts come from a record (``router.explain.recorded``) or from deciding about a request that isn't
sent (``router.explain.planned``); both are explained by the one function here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from router.explain.reasons import SKIPS, find_reason, tell_draft
from router.wording import show_share

Json = Any
_NOTHING: Mapping[str, Json] = {}
_CHECKS = ("proof", "verdict", "max_cost_exceeded")
_OWN = (None, "recall", "student")
"""Rungs of every ladder; any other is a further model."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """A risk level of the certificate, counted from 1; ``threshold`` None: the release has none."""

    number: int
    predicted_risk: float
    threshold: float | None


@dataclass(frozen=True, kw_only=True)
class Branch:
    """One way that the coin can fall, and what is done then."""

    probability: float
    tier: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known about one decision. None: unknown, or it plays no part.

    ``steps``: asks as a trace has them (tier, commit, reason, propensity, background); ``tier``,
    ``model``, ``reason``: of the answer, or of what would answer. ``skipped``: why there can be no
    draft. ``level``: strictest risk level, from 1, that the draft passes, one more than there are
    where it passes none; ``level_in_force``: from 1. ``propensity``: the probability that the
    teacher's answer becomes known; ``floor``: the smallest of any draft then. ``branches``: where a
    coin still has to fall. ``costs``: USD as decimal strings. ``standing``: of the promise, now.
    ``slices``: those that it belongs to. ``recorded``: what else a record holds. ``notes``: what
    keeps the picture from being complete.
    """

    subject: Literal["interaction", "request"]
    id: str | None = None
    workload: str
    policy: str
    tier: str
    model: str
    reason: str
    steps: Sequence[Mapping[str, Json]]
    release: str | None = None
    skipped: str | None = None
    confidence: float | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    level: int | None = None
    level_in_force: int | None = None
    levels: Sequence[Level] = ()
    propensity: float = 1.0
    floor: float = 1.0
    branches: Sequence[Branch] = ()
    costs: Mapping[str, str | None] = field(default_factory=dict)
    standing: Mapping[str, Json] | None = None
    slices: Sequence[str] = ()
    recorded: Mapping[str, Json] | None = None
    notes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Step:
    """An ask in words. ``rung``: of several drafts, whose it is about."""

    tier: str
    rung: str | None
    reason: str
    sentence: str
    commit: bool
    background: bool
    propensity: float


@dataclass(frozen=True, kw_only=True)
class Dropped:
    """Something that isn't done, and why."""

    option: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Facts with their reasons in words.

    ``why``: the reason of the answer; ``otherwise``: what would have to change for another tier to
    answer, the nearest first.
    """

    facts: Facts
    why: str
    steps: tuple[Step, ...]
    dropped: tuple[Dropped, ...]
    otherwise: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """One flat JSON-ready object."""
        plan = {name: value for name, value in asdict(self).items() if name != "facts"}
        return {**asdict(self.facts), **plan}


def explain(facts: Facts) -> Explanation:
    """Put the facts into words."""
    reason = find_reason(facts.reason)
    words = _choose_words(facts)
    dropped = [] if reason.dropped is None else [_drop(*reason.dropped, words)]
    return Explanation(
        facts=facts,
        why=_fill(reason.sentence, words),
        steps=tuple(_write_step(step, words) for step in facts.steps),
        dropped=(*dropped, *_find_dropped_rungs(facts), *_find_dropped_checks(facts)),
        otherwise=tuple(_find_otherwise(facts, words)),
    )


def _choose_words(facts: Facts) -> dict[str, str]:
    outlook = (facts.standing or _NOTHING).get("outlook") or _NOTHING
    return {
        "{confidence}": _number(facts.confidence),
        "{threshold}": _number(facts.threshold),
        "{skipped}": facts.skipped or "no draft could stand for the answer",
        "{outlook}": str(outlook.get("sentence", "More must be proven first.")),
    }


def _fill(sentence: str, words: Mapping[str, str]) -> str:
    for place, word in words.items():
        sentence = sentence.replace(place, word)
    return sentence


def _number(value: float | None) -> str:
    return "(unknown)" if value is None or not math.isfinite(value) else f"{value:.4f}"


def _drop(option: str, why: str, words: Mapping[str, str]) -> Dropped:
    return Dropped(option=option, why=_fill(why, words))


def _write_step(step: Mapping[str, Json], words: Mapping[str, str]) -> Step:
    name = str(step["reason"])
    rung = step.get("rung")
    sentence = _fill(find_reason(name).sentence, words)
    if rung not in _OWN and step["tier"] == "student" and not step.get("commit"):
        sentence = tell_draft(str(rung), step.get("confidence"))
    return Step(
        tier=str(step["tier"]),
        rung=rung,
        reason=name,
        sentence=sentence,
        commit=bool(step.get("commit", False)),
        background=bool(step.get("background", False)),
        propensity=float(step.get("propensity", 1.0)),
    )


def _find_dropped_rungs(facts: Facts) -> list[Dropped]:
    """Further models that weren't asked for a draft."""
    return [
        Dropped(option=name, why=SKIPS[why])
        for step in facts.steps
        for name, why in step.get("skipped", _NOTHING).items()
    ]


def _find_dropped_checks(facts: Facts) -> list[Dropped]:
    """A chance to ask the teacher about what is served, where it isn't taken."""
    if facts.tier == "teacher" or any(step.get("background") for step in facts.steps):
        return []
    if facts.reason in ("policy_student", "above_threshold"):
        if facts.floor < 1.0:
            return [
                Dropped(option="audit", why=f"only by the coin, {show_share(facts.floor)} of them")
            ]
        return [Dropped(option="audit", why="its share is 0, or max_cost_usd rules it out")]
    if facts.reason in ("certified", "guaranteed") and facts.level is None:
        return [Dropped(option="proof", why="max_cost_usd rules it out")]
    return []


def _find_otherwise(facts: Facts, words: Mapping[str, str]) -> list[str]:
    found = [find_reason(facts.reason).otherwise]
    if facts.reason == "below_threshold" and facts.level and facts.level_in_force:
        if facts.level <= len(facts.levels):
            found.append(
                f"Or with level {facts.level} of {len(facts.levels)} in force; it is level"
                f" {facts.level_in_force}. {{outlook}}"
            )
        else:
            found.append("No risk level's threshold is low enough for it.")
    if facts.reason in ("certified", "guaranteed", "proof", "verdict") and facts.branches:
        chance = sum(one.probability for one in facts.branches if one.reason in _CHECKS)
        found.append(
            f"The coin asks the teacher about {show_share(chance)} of drafts such as this."
        )
    return [_fill(sentence, words) for sentence in found if sentence]
