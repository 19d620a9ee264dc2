"""Records to test with."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from policies.types import Tier
from router.meter.prices import Usage
from router.record.model import Attempt, Interaction


def make_record(record_id: str, **changes: Any) -> Interaction:
    """An interaction that the teacher answered; keyword arguments replace its fields."""
    attempt = Attempt(
        interaction_id=record_id,
        n=0,
        tier=Tier.TEACHER,
        model="teacher",
        purpose="answer",
        started_at=99.5,
        latency_ms=480.25,
        status=200,
        usage=Usage(prompt_tokens=120, completion_tokens=7, cached_tokens=20),
        cost_usd=Decimal("0.000123456789"),
        upstream_model="big-70b-2026",
    )
    record = Interaction(
        id=record_id,
        created_at=100.0,
        workload="support",
        tenant="shop",
        key_name="shop",
        train_ok=True,
        stored=True,
        stream=False,
        request={"messages": [{"role": "user", "content": "Where is my parcel?"}]},
        input_text="Where is my parcel?",
        group="g1",
        comparer="label",
        tier=Tier.TEACHER,
        model="teacher",
        reason="observe",
        status="ok",
        answer={"content": "delivery"},
        teacher_answer={"content": "delivery"},
        teacher_model="teacher",
        teacher_version="big-70b-2026",
        seen=True,
        cost_usd=Decimal("0.000123456789"),
        teacher_cost_usd=Decimal("0.000123456789"),
        latency_ms=481.0,
        overhead_ms=0.75,
        trace=({"tier": "teacher", "reason": "observe", "propensity": 1.0},),
        settings_digest="abc",
        attempts=(attempt,),
    )
    return replace(record, **changes)
