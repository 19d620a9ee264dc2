"""When a call is tried again, and after how long."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from router.upstream.retry import choose_delay_s, is_retryable, read_retry_after_s

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


class Extreme(random.Random):
    """Always the largest jitter."""

    def random(self) -> float:
        return 1.0


def delay_s(
    tries: int,
    *,
    retries: int = 10,
    headers: dict[str, str] | None = None,
    remaining_s: float = 1000.0,
    rng: random.Random | None = None,
) -> float | None:
    return choose_delay_s(
        tries=tries,
        retries=retries,
        headers=headers or {},
        remaining_s=remaining_s,
        rng=rng or Extreme(),
        now=NOW,
    )


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_statuses_that_may_pass(status: int) -> None:
    assert is_retryable(status, {})
    assert not is_retryable(status, {"x-should-retry": "false"})
    assert not is_retryable(status, {"x-should-retry": " False "})


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422, 501])
def test_statuses_that_stay(status: int) -> None:
    assert not is_retryable(status, {})
    assert not is_retryable(status, {"x-should-retry": "true"})


def test_tries_are_bounded() -> None:
    assert delay_s(1, retries=2) is not None
    assert delay_s(2, retries=2) is not None
    assert delay_s(3, retries=2) is None
    assert delay_s(1, retries=0) is None


def test_backoff_doubles_up_to_a_bound() -> None:
    assert [delay_s(tries) for tries in range(1, 8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]


def test_jitter_is_full() -> None:
    rng = random.Random(3)
    delays = [delay_s(3, rng=rng) or 0.0 for _ in range(2000)]
    assert min(delays) < 0.02
    assert max(delays) > 1.98
    assert sum(delays) / len(delays) == pytest.approx(1.0, abs=0.05)


def test_a_wait_that_would_reach_the_deadline_is_not_begun() -> None:
    assert delay_s(1, remaining_s=0.51) == 0.5
    assert delay_s(1, remaining_s=0.5) is None
    assert delay_s(1, headers={"retry-after": "30"}, remaining_s=30.0) is None
    assert delay_s(1, remaining_s=-1.0) is None


def test_what_the_upstream_asks_for_is_waited_with_jitter_on_top() -> None:
    asked = {"retry-after": "20"}
    assert delay_s(1, headers=asked) == 20.5
    lazy = [delay_s(1, headers=asked, rng=random.Random(seed)) or 0.0 for seed in range(50)]
    assert all(20.0 <= wait <= 20.5 for wait in lazy)
    assert len(set(lazy)) > 40
    assert delay_s(1, headers={"retry-after": "0"}) == 0.0


def test_retry_after_in_seconds_and_milliseconds() -> None:
    assert read_retry_after_s({"retry-after": "3"}, NOW) == 3.0
    assert read_retry_after_s({"retry-after": "1.5"}, NOW) == 1.5
    assert read_retry_after_s({"retry-after-ms": "250"}, NOW) == 0.25
    assert read_retry_after_s({"retry-after-ms": "250", "retry-after": "9"}, NOW) == 0.25
    assert read_retry_after_s({"retry-after-ms": "soon", "retry-after": "9"}, NOW) == 9.0


def test_retry_after_as_a_date() -> None:
    later = format_datetime(NOW + timedelta(seconds=42), usegmt=True)
    earlier = format_datetime(NOW - timedelta(seconds=42), usegmt=True)
    assert read_retry_after_s({"retry-after": later}, NOW) == 42.0
    assert read_retry_after_s({"retry-after": earlier}, NOW) == 0.0
    assert read_retry_after_s({"retry-after": "Sun, 01 Mar 2026 12:00:07 -0000"}, NOW) == 7.0
    assert read_retry_after_s({"retry-after": "Sun, 01 Mar 2026 13:00:07 +0100"}, NOW) == 7.0


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "-5", "Mon, 99 Mar 2026 12:00:00 GMT"])
def test_nonsense_is_as_if_nothing_was_asked(text: str) -> None:
    assert read_retry_after_s({"retry-after": text}, NOW) is None
    assert read_retry_after_s({"retry-after-ms": text}, NOW) is None
    assert delay_s(2, headers={"retry-after": text}) == 1.0


def test_nothing_was_asked() -> None:
    assert read_retry_after_s({}, NOW) is None
