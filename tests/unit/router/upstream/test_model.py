"""Targets keep their secret and are refused where they could not."""

from __future__ import annotations

import pytest

from router.errors import ConfigError, UpstreamFailed, UpstreamRejected, UpstreamTimeout
from router.upstream.model import (
    CallFailed,
    CallRejected,
    CallTimedOut,
    StreamBroken,
    UpstreamTarget,
)

URL = "https://api.example.com/v1"


def test_the_key_is_not_in_the_repr() -> None:
    target = UpstreamTarget(key="teacher", base_url=URL, model="m", api_key="sk-very-secret")
    assert "sk-very-secret" not in repr(target)
    assert "sk-very-secret" not in str(target)


@pytest.mark.parametrize("api_key", ["sk-secret\n", "sk-\r\nX: 1", "sk-\0"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(api_key: str) -> None:
    with pytest.raises(ConfigError, match="'teacher'") as caught:
        UpstreamTarget(key="teacher", base_url=URL, model="m", api_key=api_key)
    assert "sk-" not in str(caught.value)


def test_a_password_in_the_address_is_refused_unseen() -> None:
    with pytest.raises(ConfigError, match="api_key_env") as caught:
        UpstreamTarget(key="teacher", base_url="https://me:hunter2@example.com/v1", model="m")
    assert "hunter2" not in str(caught.value)


def test_errors_are_those_of_the_gateway_with_attempts() -> None:
    failed, timed_out = CallFailed("f"), CallTimedOut("t")
    rejected = CallRejected("r", status=418, raw=b"{}")
    assert isinstance(failed, UpstreamFailed)
    assert isinstance(timed_out, UpstreamTimeout)
    assert isinstance(rejected, UpstreamRejected)
    assert [error.status for error in (failed, timed_out, rejected)] == [502, 504, 418]
    assert [error.code for error in (failed, timed_out)] == ["upstream_failed", "upstream_timeout"]
    assert failed.attempts == ()
    assert rejected.body() == b"{}"


def test_a_broken_stream_says_why() -> None:
    error = StreamBroken("silent for 3 s")
    assert (error.reason, str(error)) == (
        "silent for 3 s",
        "The upstream's stream broke off: silent for 3 s.",
    )
