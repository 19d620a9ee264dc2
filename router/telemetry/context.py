"""Which trace the request at hand belongs to: W3C Trace Context, level 1.

Nobody hands it down: it travels with the request's task in a context variable, also into audits.
Where nobody traces the variable is None, and reading it is all that a request pays.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from policies.types import Ask, Evidence

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_LONGEST_STATE = 512
_SAMPLED = 1


@dataclass(frozen=True, kw_only=True)
class TimedDraft:
    """A draft that was asked for; instants in seconds since the epoch."""

    ask: Ask
    evidence: Evidence
    began_at: float
    ended_at: float


@dataclass(kw_only=True)
class RequestSpan:
    """The span of a client's request, while it is traced.

    ``trace_id``, ``span_id``, ``parent_id``: hexadecimal; ``parent_id`` is the caller's span, None
    where it sent none. ``state``: the caller's ``tracestate``, passed on as it came. ``sampled``:
    whether the trace is kept, as the caller decided where it did. ``path``: where the request came
    in. ``told``: the span itself was handed over already, so that what comes later adds to it.
    """

    trace_id: str
    parent_id: str | None
    sampled: bool
    state: str | None = None
    path: str = ""
    span_id: str = field(default_factory=lambda: new_span_id())
    drafts: list[TimedDraft] = field(default_factory=list)
    told: bool = False

    def note_draft(self, ask: Ask, evidence: Evidence, began_at: float, ended_at: float) -> None:
        """A rung was asked for a draft."""
        self.drafts.append(
            TimedDraft(ask=ask, evidence=evidence, began_at=began_at, ended_at=ended_at)
        )

    def headers_for(self, span_id: str) -> dict[str, str]:
        """What a call whose span is ``span_id`` carries to its upstream."""
        headers = {"traceparent": f"00-{self.trace_id}-{span_id}-{int(self.sampled):02x}"}
        return headers if self.state is None else {**headers, "tracestate": self.state}


_CURRENT: ContextVar[RequestSpan | None] = ContextVar("tutelage_request_span", default=None)

current_span = _CURRENT.get
"""The span of the request that this task works for; None where it isn't traced."""


def enter_span(span: RequestSpan) -> None:
    """What this task, and every task that it starts, does from now on belongs to ``span``."""
    _CURRENT.set(span)


def begin_span(headers: Mapping[str, str], path: str, *, sampled: bool) -> RequestSpan:
    """The span of a request with these headers (looked up in lower case).

    ``sampled``: counts where the caller has decided nothing. A ``traceparent`` that isn't well
    formed is as none: a new trace begins, and ``tracestate`` isn't passed on.
    """
    found = _TRACEPARENT.fullmatch(headers.get("traceparent", "").strip())
    if found is None or not _is_valid(*found.groups()):
        return RequestSpan(
            trace_id=secrets.token_hex(16), parent_id=None, sampled=sampled, path=path
        )
    _, trace_id, parent_id, flags, _ = found.groups()
    state = headers.get("tracestate", "").strip()
    return RequestSpan(
        trace_id=trace_id,
        parent_id=parent_id,
        sampled=bool(int(flags, 16) & _SAMPLED),
        state=state if 0 < len(state) <= _LONGEST_STATE and state.isprintable() else None,
        path=path,
    )


def _is_valid(version: str, trace_id: str, parent_id: str, flags: str, more: str | None) -> bool:
    """No version ff, no id of zeros, and nothing after the flags in version 00."""
    known = version != "ff" and not (version == "00" and more is not None)
    return known and bool(int(trace_id, 16)) and bool(int(parent_id, 16))


def new_span_id() -> str:
    """16 random hexadecimal digits, not all zero."""
    return f"{secrets.randbits(64) or 1:016x}"
