"""The watch: has a workload's world changed since its evidence was gathered?

A certificate learns of a change from the few served drafts that are checked. Every *escalated*
interaction compares a draft with the teacher's answer, too, and a gate says beforehand how often
the two agree. So does what comes in: queries far from all that was trained on, drafts less sure
than they used to be, a teacher that names another version.

Agreement. The draft of a seen interaction agrees with probability a_i given the past and its
score. The coin that decides what is seen knows neither, so checks need no weights. Null hypothesis:
a_i ≥ q_i, where q_i has 1/1.5 of the odds of the gate's confidence, recalibrated by the recent past
(an offset of its log-odds, fitted to earlier trials only). For alternatives p_i < q_i the factor
p_i/q_i (agreed) or (1 − p_i)/(1 − q_i) (not) has mean at most 1 under the null, since it falls in
a_i. Alternatives: a share of all answers is different now (a teacher that changed its mind, noise),
or the odds are (a student that degraded).

Levels. Of a signal (similarity to the nearest training query; confidence) the rank R_n among the n
values since the release came is, while they are exchangeable, uniform on 1..n and independent of
the ranks before. For a decreasing bet f with ∫f = 1 the factor f(R_n/n) has mean
(1/n)·Σ f(k/n) ≤ 1, and ties counted upwards only lower it.

Alarm. Shiryaev–Roberts: S_n = (S_{n−1} + 1)·factor_n, averaged over the alternatives. Under the
null S_n − n is a supermartingale, so the mean number of trials until S first reaches A, its
average run length, is at least A, and an alarm falls within n trials with probability at most n/A.

Sources: Shiryaev (1963); Roberts (1966); Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric
framework for sequential change detection" (2023); Vovk, "Testing randomness online" (2021).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from policies.types import Trial

Kind = Literal["agreement", "novelty", "evidence", "teacher"]

KINDS: tuple[Kind, ...] = ("agreement", "novelty", "evidence", "teacher")
"""What can change: how often drafts agree, how far queries lie from what was learned, how sure
drafts are, what the teacher calls itself."""

AGREEMENT_RUN_LENGTH = 2_000.0
LEVEL_RUN_LENGTH = 20_000.0
"""A: trials from a start to a false alarm, on average at least. An agreement that falls is urgent,
and a gate that is as bad as the null allows is rare; a signal that falls only makes wary."""

ALLOWANCE = 1.5
"""So much worse than the recalibrated gate the odds of agreement may be: no gate is quite right."""

_SUREST = 0.98
"""No gate is believed to be surer than this."""

_LEAST = 0.05
"""Drafts that their gate gives up tell nothing by disagreeing: below this they aren't tested, since
S counts trials where factors are near 1."""

_ALTERNATIVES = ((0.15, 1.0), (0.35, 1.0), (0.0, 3.0))
"""(share of what agreed that no longer does, factor by which the odds fall)."""

_RATE, _SETTLING_RATE = 0.005, 0.05
"""How fast the gate is recalibrated by what is seen; the second while settling."""

_WORST_OFFSET = -2.0
"""How far down it is recalibrated, in log-odds."""

_CALM = 0.02
"""While S is below this share of A, nothing speaks for a change yet."""

_SETTLING = 100
"""Seen trials after an alarm in which the gate is recalibrated fast and nothing is tested."""

_SUSPICION = 0.05
"""Head start of the agreement watch after an alarm of another kind, as a share of A: within n
trials a false alarm then falls with probability at most 0.05 + n/A."""

_POWERS = (0.4, 0.7)
"""Bets on a small rank r: ε·r^(ε − 1)."""

_BINS = 64
"""Signals in 0..1 are ranked by bin: a state of fixed size."""

_MOST_EARLIER = 7
"""Changes before the last one that are remembered."""

_MOST_VERSIONS = 8
"""A teacher that has named so many versions says nothing by another one."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What changed, and how strong the evidence was.

    ``trial``: counted from 1, the one that raised it. ``strength``: S as a multiple of the A that
    raises an alarm, at least 1; exactly 1 for a teacher's version.
    """

    kind: Kind
    trial: int
    strength: float


class AgreementWatch:
    """Do drafts agree with the teacher as often as their gate says?"""

    def __init__(self) -> None:
        self._evidence = _Evidence(len(_ALTERNATIVES))
        self._offset = 0.0
        self._settling = 0

    def least_chance(self, confidence: float) -> float:
        """q: the lowest chance of agreement that the null allows for a draft now."""
        return _chance(self._odds(confidence) / ALLOWANCE)

    def observe(self, confidence: float, agreed: bool) -> float:
        """Take in a seen draft; returns S as a multiple of what raises an alarm."""
        if confidence < _LEAST:
            return 0.0
        odds, least = self._odds(confidence), self.least_chance(confidence)
        strength = 0.0
        if self._settling:
            self._settling -= 1
        else:
            worse = [_chance(odds / ALLOWANCE / by) * (1.0 - part) for part, by in _ALTERNATIVES]
            factors = [p / least if agreed else (1.0 - p) / (1.0 - least) for p in worse]
            strength = self._evidence.add(factors) / AGREEMENT_RUN_LENGTH
        rate = _SETTLING_RATE if self._settling else _RATE
        moved = self._offset + rate * (float(agreed) - _chance(odds))
        self._offset = min(0.0, max(_WORST_OFFSET, moved))
        return strength

    def suspect(self) -> None:
        """Something else has changed: less evidence is needed for an alarm."""
        self._evidence.boost(_SUSPICION * AGREEMENT_RUN_LENGTH)

    def restart(self) -> None:
        """After an alarm: what is seen next is what agreement is now."""
        self._evidence.clear()
        self._settling = _SETTLING

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``load``."""
        return {
            "evidence": self._evidence.values,
            "offset": self._offset,
            "settling": self._settling,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Back to ``state()``. Raises ValueError, KeyError or TypeError for anything else."""
        self._evidence.load(state["evidence"])
        self._offset, self._settling = float(state["offset"]), int(state["settling"])
        if not (_WORST_OFFSET <= self._offset <= 0.0 and 0 <= self._settling <= _SETTLING):
            raise ValueError("the stored watch holds something that can't be")

    def _odds(self, confidence: float) -> float:
        """The recalibrated gate's odds of agreement."""
        chance = min(confidence, _SUREST)
        return chance / (1.0 - chance) * math.exp(self._offset)


class LevelWatch:
    """Is a signal in 0..1 as high as it has been since the release came?

    Where two releases draft in turns, as in a canary, each one's values are ranked among its own.
    """

    def __init__(self) -> None:
        self._evidence = _Evidence(len(_POWERS))
        self._counts = [0] * _BINS
        self._other: tuple[str | None, list[int]] | None = None

    def observe(self, value: float) -> float:
        """Take in a value; returns S as a multiple of what raises an alarm."""
        place = min(_BINS - 1, max(0, int(value * _BINS)))
        self._counts[place] += 1
        rank = sum(self._counts[: place + 1]) / sum(self._counts)
        factors = [power * rank ** (power - 1.0) for power in _POWERS]
        return self._evidence.add(factors) / LEVEL_RUN_LENGTH

    def turn(self, before: str | None, now: str) -> None:
        """The release ``now`` drafts after ``before``: other values are normal, none where it isn't
        the one that drafted before that; the evidence so far stays."""
        counts = [0] * _BINS
        if self._other is not None and self._other[0] == now:
            counts = self._other[1]
        self._other, self._counts = (before, self._counts), counts

    def restart(self) -> None:
        """After an alarm: the values that come next are the normal ones."""
        self._counts, self._other = [0] * _BINS, None
        self._evidence.clear()

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``load``."""
        state = {"evidence": self._evidence.values, "counts": list(self._counts)}
        other = None if self._other is None else [self._other[0], list(self._other[1])]
        return {**state, "other": other}

    def load(self, state: Mapping[str, Any]) -> None:
        """Back to ``state()``. Raises ValueError, KeyError or TypeError for anything else."""
        self._evidence.load(state["evidence"])
        self._counts = _read_counts(state["counts"])
        # Absent from what was stored before releases drafted in turns.
        other = state.get("other")
        self._other = None if other is None else (other[0], _read_counts(other[1]))


class Watch:
    """All detectors of a workload, fed by one trial after another.

    What a trial doesn't know (None) is not tested. ``changed``: the trial, from 1, after which
    drafts began to disagree, by the last alarm about that: the last one at which nothing spoke for
    it yet. None: there was no such alarm. ``earlier``: the same of earlier alarms, the newest last.
    Not thread-safe.
    """

    def __init__(self) -> None:
        self.trials = 0
        self.last: Alarm | None = None
        self.changed: int | None = None
        self.earlier: list[int] = []
        self._calm = 0
        self._agreement = AgreementWatch()
        self._levels: dict[Kind, LevelWatch] = {"novelty": LevelWatch(), "evidence": LevelWatch()}
        self._release: str | None = None
        self._versions: list[str] = []

    def observe(self, trial: Trial) -> Alarm | None:
        """Take in one interaction; an alarm where it is the one that raises it.

        Of several at once the first in the order of ``KINDS`` is told; each that was raised starts
        again. An alarm of another kind than agreement makes the agreement watch suspicious.
        """
        self.trials += 1
        # One without a release was recalled: it says nothing about what the release's are like.
        if trial.release is not None and trial.release != self._release:
            for level in self._levels.values():
                level.turn(self._release, trial.release)
            self._release = trial.release
        strengths = dict(self._measure(trial))
        raised = [kind for kind in KINDS if strengths.get(kind, 0.0) >= 1.0]
        if "agreement" in raised:
            if self.changed is not None:
                self.earlier = [*self.earlier, self.changed][-_MOST_EARLIER:]
            self.changed = self._calm
        if strengths.get("agreement", _CALM) < _CALM or "agreement" in raised:
            self._calm = self.trials
        for kind in raised:
            self._restart(kind)
        if not raised:
            return None
        self.last = Alarm(kind=raised[0], trial=self.trials, strength=strengths[raised[0]])
        return self.last

    def state(self) -> dict[str, Any]:
        """A JSON-ready snapshot for ``restore``."""
        return {
            "trials": self.trials,
            "last": None if self.last is None else asdict(self.last),
            "changed": self.changed,
            "earlier": list(self.earlier),
            "calm": self._calm,
            "agreement": self._agreement.state(),
            "levels": {kind: level.state() for kind, level in self._levels.items()},
            "release": self._release,
            "versions": list(self._versions),
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> Watch:
        """The watch as it stood at ``state()``.

        Raises ValueError, KeyError or TypeError for what no ``state()`` wrote.
        """
        watch = cls()
        watch.trials = int(state["trials"])
        if state["last"] is not None:
            watch.last = Alarm(**state["last"])
            if watch.last.kind not in KINDS:
                raise ValueError("the stored watch holds something that can't be")
        # Absent from what was stored before anything was learned from them.
        changed = state.get("changed")
        watch.changed = None if changed is None else int(changed)
        watch.earlier = [int(trial) for trial in state.get("earlier", ())][-_MOST_EARLIER:]
        watch._calm = int(state.get("calm", watch.trials))
        watch._agreement.load(state["agreement"])
        for kind, level in watch._levels.items():
            level.load(state["levels"][kind])
        watch._release = state["release"]
        watch._versions = [str(version) for version in state["versions"]]
        return watch

    def _measure(self, trial: Trial) -> Iterable[tuple[Kind, float]]:
        disagreed = trial.disagreed
        if disagreed is None and trial.seen:
            disagreed = trial.wrong
        if disagreed is not None and trial.confidence is not None:
            yield "agreement", self._agreement.observe(trial.confidence, not disagreed)
        if trial.nearest is not None:
            yield "novelty", self._levels["novelty"].observe(trial.nearest)
        if trial.confidence is not None:
            yield "evidence", self._levels["evidence"].observe(trial.confidence)
        if self._is_new(trial.teacher_version):
            yield "teacher", 1.0

    def _is_new(self, version: str | None) -> bool:
        """Whether the teacher names a version for the first time, though not the first of all."""
        if version is None or version in self._versions or len(self._versions) >= _MOST_VERSIONS:
            return False
        self._versions.append(version)
        return len(self._versions) > 1

    def _restart(self, kind: Kind) -> None:
        if kind == "agreement":
            self._agreement.restart()
            return
        self._agreement.suspect()
        if kind in self._levels:
            self._levels[kind].restart()


def _read_counts(stored: Sequence[Any]) -> list[int]:
    counts = [int(count) for count in stored]
    if len(counts) != _BINS or min(counts) < 0:
        raise ValueError("the stored watch holds something that can't be")
    return counts


class _Evidence:
    """A Shiryaev–Roberts statistic, the mean over alternatives."""

    def __init__(self, alternatives: int) -> None:
        self.values = [0.0] * alternatives

    def add(self, factors: Sequence[float]) -> float:
        """Take in a factor per alternative; returns S."""
        self.values = [(s + 1.0) * by for s, by in zip(self.values, factors, strict=True)]
        return sum(self.values) / len(self.values)

    def boost(self, start: float) -> None:
        """Raise S by ``start``."""
        self.values = [value + start for value in self.values]

    def clear(self) -> None:
        """Back to S = 0."""
        self.values = [0.0] * len(self.values)

    def load(self, values: Sequence[float]) -> None:
        """Raises ValueError for what can't be."""
        loaded = [float(value) for value in values]
        if len(loaded) != len(self.values) or not all(0.0 <= v < math.inf for v in loaded):
            raise ValueError("the stored watch holds something that can't be")
        self.values = loaded


def _chance(odds: float) -> float:
    return odds / (1.0 + odds)
