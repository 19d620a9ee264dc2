"""The servers that hold one student: asked in turn, and around those that fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from router.settings.model import STUDENT_KEY, Settings
from router.upstream.model import CallError, CallFailed, CallRejected, Reply, UpstreamTarget

REST_S = 5.0
"""How long a replica that failed is left alone, so that a dead one doesn't slow every request."""

DRAFT_MAY_TAKE_S = 20.0
"""Unless configured: a student that is slower than this is better replaced by the teacher."""

_REQUESTS_OWN_FAULT = (400, 413, 422)
"""Statuses that another replica would answer, too."""


_UNKNOWN_MODEL = 404


class Upstream(Protocol):
    """Who carries the calls: ``UpstreamClient``."""

    async def complete(self, target: UpstreamTarget, body: Mapping[str, Any]) -> Reply: ...


class Replicas:
    """``targets``: one per server; the model of a call is named with it."""

    def __init__(
        self,
        upstream: Upstream,
        targets: Sequence[UpstreamTarget],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.targets = tuple(targets)
        self._upstream = upstream
        self._clock = clock
        self._next = 0
        self._rests_until: dict[tuple[int, str | None], float] = {}

    async def complete(self, model: str, body: Mapping[str, Any]) -> Reply:
        """A whole answer of ``model``; ``attempts`` of the reply are those at all replicas.

        Raises CallError with all attempts where none answers. A silent replica isn't followed by
        another: the time is spent.
        """
        earlier: tuple[Any, ...] = ()
        failed: CallError | None = None
        for i in self._take_turns(model):
            try:
                reply = await self._upstream.complete(replace(self.targets[i], model=model), body)
            except CallError as error:
                earlier = error.attempts = (*earlier, *error.attempts)
                if isinstance(error, CallRejected) and error.status in _REQUESTS_OWN_FAULT:
                    raise
                # A server may lack one model and be well for another.
                lacking = isinstance(error, CallRejected) and error.status == _UNKNOWN_MODEL
                self._rests_until[i, model if lacking else None] = self._clock() + REST_S
                failed = error
                if isinstance(error, (CallFailed, CallRejected)):
                    continue
                raise
            return replace(reply, attempts=(*earlier, *reply.attempts))
        raise failed or CallFailed("Every server of the student failed within the last seconds.")

    def wake(self, i: int, model: str) -> None:
        """Replica ``i`` is known to answer for ``model``: ask it again."""
        for which in (None, model):
            self._rests_until.pop((i, which), None)

    def _take_turns(self, model: str) -> list[int]:
        """Those awake, the next in turn first."""
        count, now = len(self.targets), self._clock()
        self._next = (self._next + 1) % count
        order = [(self._next + i) % count for i in range(count)]
        until = self._rests_until
        return [i for i in order if max(until.get((i, m), now) for m in (None, model)) <= now]


def build_replicas(settings: Settings, upstream: Upstream) -> Replicas | None:
    """The configured student's servers; None where it is embedded."""
    student = settings.generative_student
    if student is None or student.model is None:
        return None
    urls = dict.fromkeys([*([student.upstream] if student.upstream else []), *student.replicas])
    given = student.timeout_s
    total_s = given.total if "total" in given.model_fields_set else DRAFT_MAY_TAKE_S
    targets = [
        UpstreamTarget(
            key=STUDENT_KEY,
            base_url=url,
            model=student.model,
            api_key=settings.secret(student.api_key_env) if student.api_key_env else None,
            connect_timeout_s=given.connect,
            first_byte_timeout_s=total_s,  # a whole answer is silent until it is finished
            total_timeout_s=total_s,
            retries=0,  # another replica is the better try, and the teacher the last
        )
        for url in urls
    ]
    return Replicas(upstream, targets)
