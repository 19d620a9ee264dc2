"""Test doubles for our own tests and for those of users: real HTTP servers on loopback.

``FakeUpstream`` speaks the OpenAI dialect and can misbehave in all the ways that upstreams do::

    async with FakeUpstream("billing", faults=[ErrorAnswer(status=503)]) as up:
        ...  # point a client at up.base_url: the first request fails, the next one is answered
        assert up.requests[-1].body["model"] == "big-70b"

``FaultyUpstream`` is one that suffers a named fault of ``FAULTS``, and keeps a ledger of what it
would bill.
"""

from router.testing.behaviours import (
    Cut,
    ErrorAnswer,
    Fault,
    GarbageAnswer,
    Hang,
    HtmlAnswer,
    MissingDone,
    Reset,
    Stall,
)
from router.testing.faults import FAULTS, NamedFault
from router.testing.faulty import FaultyUpstream
from router.testing.upstream import DEFAULT_USAGE, Bill, FakeUpstream, SeenRequest

__all__ = [
    "DEFAULT_USAGE",
    "FAULTS",
    "Bill",
    "Cut",
    "ErrorAnswer",
    "FakeUpstream",
    "Fault",
    "FaultyUpstream",
    "GarbageAnswer",
    "Hang",
    "HtmlAnswer",
    "MissingDone",
    "NamedFault",
    "Reset",
    "SeenRequest",
    "Stall",
]
