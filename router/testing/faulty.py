"""``FaultyUpstream``: a real server that suffers one of the named faults."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from router.testing.behaviours import ErrorAnswer, Fault
from router.testing.faults import CHUNKS, FAULTS
from router.testing.upstream import FakeUpstream

_WORDS = CHUNKS - 2
_USAGE = {"prompt_tokens": 40, "completion_tokens": _WORDS, "total_tokens": 40 + _WORDS}
_DOWN = ErrorAnswer(status=503)


class FaultyUpstream(FakeUpstream):
    """An OpenAI-compatible server with a fault of ``FAULTS``, to be used with ``async with``.

    It answers with 60 chunks, a word and a token each between the role and the finish reason.
    ``ledger`` says what it would bill for every request. Where the fault is about two servers,
    ``fallback`` is the second one, which lives as long as the first.
    """

    def __init__(
        self, fault: str, *, scale: float = 1.0, running_usage: bool = False, model: str = "m"
    ) -> None:
        """``fault``: a key of ``FAULTS``; ``scale``: by which every time is multiplied, so that a
        minute needn't last one; ``running_usage``: every chunk tells the usage so far; ``model``:
        in the words of the answer, so that servers can be told apart. Raises KeyError."""
        named = FAULTS[fault]
        super().__init__(
            " ".join([model] * _WORDS),
            usage=_USAGE,
            running_usage=running_usage,
            latency_s=named.first_byte_s * scale,
            faults=[_scale(one, scale) for one in named.first],
            always=None if named.then is None else _scale(named.then, scale),
        )
        self.fallback: FakeUpstream | None = None
        if named.needs_fallback:
            self.fallback = FakeUpstream(
                " ".join(["fallback"] * _WORDS),
                usage=_USAGE,
                running_usage=running_usage,
                always=named.fallback,
            )
        self._flap_s = None if named.flap_s is None else named.flap_s * scale
        self._began_s = 0.0

    @property
    def is_down(self) -> bool:
        """It flaps, and is down at this moment."""
        if self._flap_s is None:
            return False
        return int((time.monotonic() - self._began_s) / self._flap_s) % 2 == 0

    def next_fault(self) -> Fault | None:
        return _DOWN if self.is_down else super().next_fault()

    async def __aenter__(self) -> Self:
        self._began_s = time.monotonic()
        if self.fallback is not None:
            await self.fallback.__aenter__()
        return await super().__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await super().__aexit__(kind, exc, traceback)
        if self.fallback is not None:
            await self.fallback.__aexit__(kind, exc, traceback)


def _scale(fault: Fault, scale: float) -> Fault:
    """The fault with the wait that it asks for scaled; an hour stays one."""
    if isinstance(fault, ErrorAnswer) and fault.headers.get("retry-after") == "1":
        return ErrorAnswer(status=fault.status, headers={"retry-after": str(scale)})
    return fault
