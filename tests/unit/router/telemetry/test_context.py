"""W3C trace context, read and written."""

from __future__ import annotations

import pytest

from router.telemetry.context import RequestSpan, begin_span, new_span_id

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def begin(
    traceparent: str | None, state: str | None = None, *, sampled: bool = True
) -> RequestSpan:
    given = {"traceparent": traceparent, "tracestate": state}
    headers = {name: value for name, value in given.items() if value is not None}
    return begin_span(headers, "/v1/chat/completions", sampled=sampled)


@pytest.mark.parametrize(
    ("flags", "sampled"), [("01", True), ("00", False), ("03", True), ("fe", False)]
)
def test_the_callers_trace_goes_on(flags: str, sampled: bool) -> None:
    span = begin(f"00-{TRACE}-{PARENT}-{flags}", "a=1,b=2", sampled=not sampled)
    assert (span.trace_id, span.parent_id, span.sampled) == (TRACE, PARENT, sampled)
    own = new_span_id()
    expected = f"00-{TRACE}-{own}-{int(sampled):02x}"
    assert span.headers_for(own) == {"traceparent": expected, "tracestate": "a=1,b=2"}


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert begin(f"cc-{TRACE}-{PARENT}-01-what-comes").trace_id == TRACE


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "00",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-01-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE[:-1]}-{PARENT}-01",
    ],
    ids=["empty", "short", "no-flags", "long", "version-ff", "no-trace", "no-span", "upper", "cut"],
)
def test_what_is_malformed_is_as_none_and_its_state_goes_no_further(malformed: str) -> None:
    span = begin(malformed, "a=1")
    assert span.trace_id != TRACE
    assert (len(span.trace_id), span.parent_id, span.state, span.sampled) == (32, None, None, True)


@pytest.mark.parametrize("state", ["x" * 513, "a=1\nb=2"], ids=["long", "two-lines"])
def test_a_state_that_could_harm_is_left_out(state: str) -> None:
    assert begin(f"00-{TRACE}-{PARENT}-01", state).state is None


def test_without_a_caller_the_share_decides() -> None:
    assert begin(None, sampled=False).sampled is False
    assert begin(None).span_id != begin(None).span_id
