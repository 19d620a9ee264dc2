"""The faults that every upstream has sooner or later, by name.

Sixteen, two of them in two forms (``retry-after`` short and long; a reset before and after the
headers). ``docs/faults.md`` says for each what the client sees and what is billed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from router.testing.behaviours import (
    Cut,
    ErrorAnswer,
    Fault,
    GarbageAnswer,
    Hang,
    MissingDone,
    Reset,
    Stall,
)

CHUNKS = 60
"""Chunks of a streamed answer, the role's and the finish reason's included."""
CUT_AFTER = 40


@dataclass(frozen=True, kw_only=True)
class NamedFault:
    """What happens to the requests that come one after another.

    ``first``: to the first of them; ``then``: to every other one. ``first_byte_s``: how long the
    server thinks before it says anything. ``flap_s``: it is down, then up, for this long in turns.
    ``needs_fallback``: the fault is about two servers; ``fallback``: what the second one does.
    """

    sees: str
    first: tuple[Fault, ...] = ()
    then: Fault | None = None
    first_byte_s: float = 0.0
    flap_s: float | None = None
    needs_fallback: bool = False
    fallback: Fault | None = None


def _refuse(status: int, code: str, message: str) -> ErrorAnswer:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return ErrorAnswer(status=status, body=json.dumps({"error": error}).encode())


def _too_many(retry_after: str) -> ErrorAnswer:
    return ErrorAnswer(status=429, headers={"retry-after": retry_after})


_BUSY = ErrorAnswer(status=503)
_TOO_LONG = "This model's maximum context length is 8192 tokens."
_FILTERED = "The prompt was refused by the content filter."
_SHAPE = "Unknown parameter: 'response_format.json_schema'."

FAULTS: Mapping[str, NamedFault] = MappingProxyType(
    {
        "429_short": NamedFault(sees="a short wait is asked for", first=(_too_many("1"),)),
        "429_long": NamedFault(sees="an hour's wait is asked for", first=(_too_many("3600"),)),
        "429_persistent": NamedFault(sees="every request is too many", then=_too_many("0")),
        "500_once": NamedFault(sees="one error", first=(ErrorAnswer(status=500),)),
        "503": NamedFault(sees="unavailable", then=_BUSY),
        "reset_before_headers": NamedFault(sees="a reset, then health", first=(Reset(),)),
        "reset_after_headers": NamedFault(
            sees="a reset once the answer has begun",
            then=Reset(after_headers=True, after_chunks=CUT_AFTER),
        ),
        "silence": NamedFault(sees="not a word", then=Hang()),
        "slow_first_byte": NamedFault(sees="a long think", first_byte_s=20.0),
        "stream_cut": NamedFault(
            sees=f"{CUT_AFTER} of {CHUNKS} chunks, then the connection closes",
            then=Cut(after_chunks=CUT_AFTER),
        ),
        "stream_stalled": NamedFault(
            sees=f"{CUT_AFTER} of {CHUNKS} chunks, then silence", then=Stall(after_chunks=CUT_AFTER)
        ),
        "malformed_chunk": NamedFault(
            sees="something that is not JSON", then=GarbageAnswer(after_chunks=CUT_AFTER)
        ),
        "missing_done": NamedFault(sees="all but the last line", then=MissingDone()),
        "context_length": NamedFault(
            sees="a prompt that is too long",
            then=_refuse(400, "context_length_exceeded", _TOO_LONG),
        ),
        "content_filter": NamedFault(
            sees="a refused prompt", then=_refuse(400, "content_filter", _FILTERED)
        ),
        "fallback_rejects": NamedFault(
            sees="unavailable, and a fallback that doesn't take the request's shape",
            then=_BUSY,
            needs_fallback=True,
            fallback=_refuse(400, "unknown_parameter", _SHAPE),
        ),
        "flapping": NamedFault(
            sees="down for five seconds, up for five, for a minute",
            flap_s=5.0,
            needs_fallback=True,
        ),
        "failover": NamedFault(
            sees="one answer that breaks off, then errors; a fallback answers",
            first=(_BUSY, ErrorAnswer(status=500), Reset()),
            then=_BUSY,
            needs_fallback=True,
        ),
    }
)
"""By the name that ``FaultyUpstream`` takes. Times are those of the real thing."""
