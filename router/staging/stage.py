"""A candidate on trial: what was seen of it beside the release in force, and what that comes to.

Two kinds. In the *shadow* it drafts about what the release in force has drafted about, after the
answer is gone, wherever the teacher was asked; nothing of it is served. In the *canary* it drafts
for a share of the interactions instead of the release in force, under the same gate rules and the
same promise. Five things may get worse, each tested at a fifth of what the promise's confidence
leaves (``policies.promise.arms``), so looking at it all the time costs nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from policies.promise.arms import Difference
from router.record.stages import Kind

SIGNALS: Final[Mapping[str, str]] = {
    "errors": "no draft comes more often",
    "format": "its drafts are in another form than asked for more often",
    "agreement": "its drafts disagree with the teacher more often",
    "served_disagreement": "drafts of it that are fit to be served disagree more often",
    "latency": "its drafts are slow more often",
}
"""What may get worse, causes before what follows from them, and how that is told."""

MARGIN: Final = 0.02
"""Largest loss that still counts as no worse; that of the paired evaluation, too."""

_SLOW_TOLERANCE = 0.05
_SLOWER = 2.0
_AT_LEAST_MS = 20.0
_PACES = 200
_FEWEST_PACES = 20
"""A draft is slow where it takes twice as long as nine of ten drafts of the release in force, of
the latest 200, and 20 ms more; as long as there are 20 to tell by. So many more may be."""


@dataclass(frozen=True, kw_only=True)
class Met:
    """How one release fared with one interaction. ``failed``: no draft came; ``fault``: it isn't in
    the form asked for; ``wrong``: it disagrees with the teacher's answer, where that was seen;
    ``fit``: it was fit to be served; ``took_ms``: until it was there."""

    failed: bool
    fault: bool
    wrong: bool
    fit: bool
    took_ms: float


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """One interaction, met by both (``share`` None) or by one of the two.

    ``share``: the probability with which the candidate was to draft; ``seen``, ``propensity``,
    ``floor``: of the teacher's answer, as in ``policies.types.Trial``. Side by side nothing is
    drafted where it isn't seen: both are None.
    """

    candidate: Met | None
    in_force: Met | None
    seen: bool
    propensity: float
    floor: float
    share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a candidate is tried; kept with it, so that whoever judges needs no configuration.

    ``shadow``: comparisons at most, 0: no shadow; ``shares``: of the canary, () for none; ``each``:
    comparisons of the candidate's at a share; ``within_s``: seconds in which they are expected.
    """

    shadow: int
    shares: tuple[float, ...]
    each: int
    within_s: float
    confidence: float

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> Plan:
        """As ``asdict`` wrote it."""
        return cls(**{**stored, "shares": tuple(stored["shares"])})


@dataclass(kw_only=True)
class Tally:
    """Counts of one release. ``compared``: drafts held against the teacher's answer."""

    drafted: int = 0
    compared: int = 0
    agreed: int = 0
    failed: int = 0
    faults: int = 0
    fit: int = 0
    took_ms: float = 0.0

    def add(self, met: Met, *, seen: bool) -> None:
        self.drafted += 1
        self.compared += seen
        self.agreed += seen and not met.wrong
        self.failed += met.failed
        self.faults += met.fault
        self.fit += met.fit
        self.took_ms += met.took_ms


@dataclass(kw_only=True)
class Stage:
    """A stage, or one share of a canary. ``began_at``: seconds since the epoch; ``step``: which of
    the plan's shares, 0 in the shadow; ``at_step``: comparisons of the candidate's there;
    ``floor``: the smallest propensity so far, which bounds the bets: not that of the interaction at
    hand, which may hang on whose it is."""

    kind: Kind
    plan: Plan
    in_force: str
    began_at: float
    step: int = 0
    at_step: int = 0
    floor: float = 1.0
    tests: dict[str, Difference] = field(default_factory=lambda: _new_tests())
    candidate: Tally = field(default_factory=Tally)
    other: Tally = field(default_factory=Tally)
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=_PACES))

    @property
    def share(self) -> float:
        """Of the interactions that the candidate drafts for."""
        return self.plan.shares[self.step] if self.kind == "canary" else 0.0

    def observe(self, sighting: Sighting) -> None:
        """Take in one interaction."""
        candidate, other = sighting.candidate, sighting.in_force
        limit = self._limit_ms()
        self.floor = min(self.floor, sighting.floor, sighting.propensity)
        for met, tally in ((candidate, self.candidate), (other, self.other)):
            if met is not None:
                tally.add(met, seen=sighting.seen)
        if other is not None and not other.failed:
            self.paces.append(round(other.took_ms, 2))
        self.at_step += sighting.seen and candidate is not None
        if sighting.share is None:
            self._observe_pair(sighting, limit)
        else:
            self._observe_arm(sighting, sighting.share, limit)

    def find_worse(self) -> str | None:
        """The first thing that got worse beyond chance."""
        confidence = 1.0 - (1.0 - self.plan.confidence) / len(SIGNALS)
        return next((s for s in SIGNALS if self.tests[s].is_worse(confidence)), None)

    def is_no_worse(self) -> bool:
        """Whether its drafts are shown to disagree hardly more often."""
        return self.tests["agreement"].is_no_worse(self.plan.confidence)

    def state(self) -> dict[str, Any]:
        """JSON-ready, for ``restore``."""
        return {
            "kind": self.kind,
            "plan": asdict(self.plan),
            "in_force": self.in_force,
            "began_at": self.began_at,
            "step": self.step,
            "at_step": self.at_step,
            "floor": self.floor,
            "tests": {name: test.state() for name, test in self.tests.items()},
            "candidate": asdict(self.candidate),
            "other": asdict(self.other),
            "paces": list(self.paces),
        }

    @classmethod
    def restore(cls, stored: Mapping[str, Any]) -> Stage:
        """The stage as it stood at ``state()``. Raises KeyError, TypeError or ValueError for what
        none wrote."""
        return cls(
            kind=stored["kind"],
            plan=Plan.restore(stored["plan"]),
            in_force=stored["in_force"],
            began_at=stored["began_at"],
            step=stored["step"],
            at_step=stored["at_step"],
            floor=stored["floor"],
            tests={name: Difference.restore(stored["tests"][name]) for name in SIGNALS},
            candidate=Tally(**stored["candidate"]),
            other=Tally(**stored["other"]),
            paces=deque(stored["paces"], maxlen=_PACES),
        )

    def _limit_ms(self) -> float | None:
        """From when on a draft is slow, by what was seen before it."""
        if len(self.paces) < _FEWEST_PACES:
            return None
        high = sorted(self.paces)[int(0.9 * len(self.paces))]
        return _SLOWER * high + _AT_LEAST_MS

    def _observe_pair(self, sighting: Sighting, limit: float | None) -> None:
        ours, theirs = sighting.candidate, sighting.in_force
        both = ours is not None and theirs is not None
        self.tests["agreement"].observe_pair(
            ours is not None and ours.wrong,
            theirs is not None and theirs.wrong,
            seen=sighting.seen and both,
            propensity=sighting.propensity,
            floor=self.floor,
        )
        if ours is None or theirs is None:
            return
        for name, one, other in _measure(ours, theirs, limit):
            self.tests[name].observe_pair(one, other, seen=True, propensity=1.0, floor=1.0)

    def _observe_arm(self, sighting: Sighting, share: float, limit: float | None) -> None:
        met = sighting.candidate or sighting.in_force
        if met is None:
            return
        arm: dict[str, Any] = {"newcomer": sighting.candidate is not None, "share": share}
        coin: dict[str, Any] = {
            "seen": sighting.seen,
            "propensity": sighting.propensity,
            "floor": self.floor,
        }
        self.tests["agreement"].observe_arm(met.wrong, **arm, **coin)
        self.tests["served_disagreement"].observe_arm(met.wrong and met.fit, **arm, **coin)
        for name, bad, _ in _measure(met, met, limit):
            self.tests[name].observe_arm(bad, **arm)


def _measure(one: Met, other: Met, limit: float | None) -> Iterable[tuple[str, bool, bool]]:
    yield "errors", one.failed, other.failed
    yield "format", one.fault, other.fault
    if limit is not None:
        yield "latency", one.took_ms > limit, other.took_ms > limit


def _new_tests() -> dict[str, Difference]:
    tolerances = {"latency": _SLOW_TOLERANCE}
    return {
        name: Difference(tolerance=tolerances.get(name, 0.0), margin=MARGIN) for name in SIGNALS
    }


def take_in(stored: Mapping[str, Any], sightings: Sequence[Sighting]) -> dict[str, Any]:
    """A stored stage after more interactions."""
    stage = Stage.restore(stored)
    for sighting in sightings:
        stage.observe(sighting)
    return stage.state()
