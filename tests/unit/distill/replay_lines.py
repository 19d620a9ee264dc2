"""Lines of a replay to test with."""

from __future__ import annotations

from dataclasses import replace

from distill.replay.result import Line

BY_TEACHER = Line(
    id="q",
    draft=None,
    final="a",
    tier="teacher",
    asked=True,
    background=False,
    propensity=1.0,
    score=None,
    threshold=None,
    agreed=True,
    release=None,
    cost_usd=None,
    teacher_cost_usd=None,
    correct=None,
    teacher_correct=None,
    reason="observe",
    workload="w",
)
BY_STUDENT = replace(
    BY_TEACHER, draft="a", tier="student", asked=False, release="r1", score=0.9, threshold=0.5
)
