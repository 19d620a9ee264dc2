"""Policies that always ask the same tier."""

from __future__ import annotations

from policies.base import Coin, Flow, audit, draft_or_teacher
from policies.types import Ask, Features, Tier


class TeacherPolicy:
    """Always the teacher: observe, and let the students learn from what it answers."""

    name = "teacher"

    def __init__(self, reason: str = "policy_teacher") -> None:
        self._reason = reason

    def flow(self, features: Features) -> Flow:
        yield Ask(tier=Tier.TEACHER, commit=True, reason=self._reason)


class StudentPolicy:
    """Always the student where it can answer at all, whatever its confidence.

    ``audit_share``: probability with which a served answer is checked in the background; it is
    the floor of what is served, unless it is 0.
    """

    name = "student"

    def __init__(self, coin: Coin, audit_share: float, reason: str = "policy_student") -> None:
        self._coin = coin
        self._audit_share = audit_share
        self._reason = reason

    def flow(self, features: Features) -> Flow:
        evidence = yield from draft_or_teacher(features)
        if evidence is None:
            return
        floor = self._audit_share or 1.0
        yield Ask(tier=Tier.STUDENT, commit=True, reason=self._reason, floor=floor)
        yield from audit(self._coin, self._audit_share)
