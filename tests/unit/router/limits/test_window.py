from __future__ import annotations

import datetime
from decimal import Decimal

import pytest

from router.limits.model import Period, to_nano, to_usd, window_of


def at(text: str) -> float:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("hour", "2026-12-31T23:00", "2027-01-01T00:00"),
        ("day", "2026-12-31T00:00", "2027-01-01T00:00"),
        ("week", "2026-12-28T00:00", "2027-01-04T00:00"),
        ("month", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_windows_are_those_of_the_calendar(period: Period, start: str, end: str) -> None:
    assert window_of(period, at("2026-12-31T23:59:59")) == (at(start), at(end))
    assert window_of(period, at(start)) == (at(start), at(end))
    assert window_of(period, at(end))[0] >= at(start) + 3600


def test_money_is_rounded_up_to_nanodollars() -> None:
    assert to_nano(Decimal("0.000000000001")) == 1
    assert to_nano(Decimal("0.01")) == 10_000_000
    assert to_usd(to_nano(Decimal("1.5"))) == Decimal("1.5")
