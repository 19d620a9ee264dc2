"""Whole days and weeks in UTC, so that a report of a period that is over never changes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from router.errors import UsageError

_WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class Period:
    """From the beginning of one day up to, and without, another, in UTC."""

    first: date
    end: date

    @property
    def start_s(self) -> float:
        """Seconds since the epoch."""
        return _to_s(self.first)

    @property
    def end_s(self) -> float:
        """Seconds since the epoch, the first that is no longer of the period."""
        return _to_s(self.end)

    @property
    def before(self) -> Period:
        """As long a period right before it."""
        return Period(first=self.first - (self.end - self.first), end=self.first)

    def weeks(self) -> Iterator[Period]:
        """Its parts of seven days, the last of which may be shorter."""
        first = self.first
        while first < self.end:
            end = min(first + _WEEK, self.end)
            yield Period(first=first, end=end)
            first = end


def last_weeks(count: int, now_s: float) -> Period:
    """The last ``count`` weeks, Monday to Sunday, that are over."""
    today = datetime.fromtimestamp(now_s, UTC).date()
    end = today - timedelta(days=today.weekday())
    return Period(first=end - count * _WEEK, end=end)


def between(first: date, end: date) -> Period:
    """Raises UsageError where there is no day between them."""
    if end <= first:
        raise UsageError(f"--to {end} must be after --from {first}: it is the first day left out.")
    return Period(first=first, end=end)


def _to_s(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
