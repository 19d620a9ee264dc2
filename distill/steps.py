"""How far a running cycle is, told to whoever looks at the store."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Literal

from router.errors import StoreError, TutelageError

Step = Literal["reading", "encoding", "training", "judging", "explaining"]

STEPS: Final[tuple[Step, ...]] = ("reading", "encoding", "training", "judging", "explaining")
"""In their order; without a student to train here, the second and the last are left out."""

_EVERY_S = 1.0


class Unfinished(TutelageError):
    """The cycle ended before its time, and the next one goes on where it was."""


class Stopped(Unfinished):
    """Somebody wanted the cycle to end."""


class Superseded(TutelageError):
    """The cycle gave no sign of life for so long that another took its place."""


class Steps:
    """Tells each step when it begins, and how far it is once a second at most.

    ``tell``: is given ``{"progress": …}``: ``step`` counted from 1, of ``steps``, its ``name``,
    ``began_at`` (seconds since the epoch), and ``done`` of ``total`` where the step counts
    something, else None. What it raises as StoreError is swallowed: that a store is busy is no
    reason to stop learning.
    ``ended``: whether the cycle is to end. It is asked here, where nothing is half-done: an
    exception out of a signal's handler could strike within a transaction, where it gets lost.
    ``lost``: whether another cycle took this one's place.
    """

    def __init__(
        self,
        tell: Callable[[Mapping[str, Any]], None],
        ended: Callable[[], bool],
        clock: Callable[[], float] = time.time,
        lost: Callable[[], bool] = lambda: False,
    ) -> None:
        self._tell = tell
        self._ended = ended
        self._lost = lost
        self._clock = clock
        self._told_at = 0.0
        self._began: list[tuple[Step, float]] = []

    def begin(self, name: Step) -> None:
        """The step before is over. Raises Stopped or Superseded."""
        self.check()
        if self._lost():
            raise Superseded(
                "The cycle stood still for so long that another took its place; that one goes on."
            )
        self._began.append((name, self._clock()))
        self._say(None, None)

    def advance(self, done: int, total: int) -> None:
        """So much of the step is done. Raises Stopped."""
        self.check()
        self.note(done, total)

    def note(self, done: int, total: int) -> None:
        """The same where nothing may be raised."""
        if self._clock() - self._told_at >= _EVERY_S:
            self._say(done, total)

    def taken(self) -> list[dict[str, Any]]:
        """``name`` and ``seconds`` of each step so far, the last until now."""
        ends = [at for _, at in self._began[1:]] + [self._clock()]
        return [
            {"name": name, "seconds": round(end - at, 3)}
            for (name, at), end in zip(self._began, ends, strict=False)
        ]

    def check(self) -> None:
        """Raises Stopped where somebody wants the cycle to end."""
        if self._ended():
            raise Stopped("The cycle was stopped; run it again to learn from the same answers.")

    def _say(self, done: int | None, total: int | None) -> None:
        name, began_at = self._began[-1]
        self._told_at = self._clock()
        progress = {
            "step": STEPS.index(name) + 1,
            "steps": len(STEPS),
            "name": name,
            "began_at": began_at,
            "done": done,
            "total": total,
        }
        with suppress(StoreError):
            self._tell({"progress": progress})
