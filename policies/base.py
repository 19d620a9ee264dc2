"""What a policy is: a flow of asks without I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Protocol

from policies.types import Ask, Evidence, Features, Tier

Flow = Generator[Ask, Evidence, None]
Draft = Generator[Ask, Evidence, Evidence | None]
Coin = Callable[[], float]
"""A fresh uniform number in [0, 1) at every call."""


class Policy(Protocol):
    """Decides which tier to ask next.

    ``flow`` yields an ``Ask``, is sent the ``Evidence`` that came of it, and may yield the next.
    Exactly one foreground ask commits; after it only background asks may follow. A flow does no
    I/O and reads no clock; its randomness was given to the constructor. Every policy must pass
    ``policies.checks.check_policy``.
    """

    @property
    def name(self) -> str:
        """The policy's name in the configuration."""
        ...

    def flow(self, features: Features) -> Flow:
        """Start deciding about one request."""
        ...


def draft_or_teacher(features: Features) -> Draft:
    """Ask the student for a draft; deliver the teacher's answer where no usable one comes back.

    Returns the draft's evidence with a confidence, or None after the teacher has been asked.
    What is missing escalates, and each cause keeps a reason of its own: a student that failed
    is not a student that was unsure.
    """
    if not features.cascadable:
        yield Ask(tier=Tier.TEACHER, commit=True, reason="not_cascadable")
        return None
    if not features.student_ready:
        yield Ask(tier=Tier.TEACHER, commit=True, reason="no_release")
        return None
    evidence = yield Ask(tier=Tier.STUDENT, commit=False, reason="draft")
    if not evidence.available:
        yield Ask(tier=Tier.TEACHER, commit=True, reason="student_unavailable")
        return None
    if evidence.confidence is None or not math.isfinite(evidence.confidence):
        yield Ask(tier=Tier.TEACHER, commit=True, reason="evidence_missing")
        return None
    return evidence


def audit(coin: Coin, share: float) -> Flow:
    """With probability ``share``, ask the teacher in the background about what was served."""
    if share > 0.0 and coin() < share:
        yield Ask(
            tier=Tier.TEACHER, commit=False, reason="audit", propensity=share, background=True
        )
