"""What a replay spends by, and what it says where it can't."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from distill.replay.terms import settings_for
from distill.streams import RecordedAnswer, StreamRow
from policies.types import Answer
from router.errors import ConfigError
from router.settings.model import (
    ModelSettings,
    Price,
    PromiseSettings,
    Settings,
    WorkloadBudget,
    WorkloadSettings,
)

ROW = StreamRow(
    id="1",
    workload="w",
    body={"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    teacher=RecordedAnswer(answer=Answer(content="yes")),
    student=None,
    gold=None,
)
A_CENT = Decimal("0.01")
PRICED = Settings(
    models={
        "teacher": ModelSettings(
            upstream="http://h", model="m", price=Price(usd_per_request=A_CENT)
        )
    },
    workloads=(WorkloadSettings(name="w", promise=PromiseSettings(agreement=0.9)),),
)


def costing(amount: str) -> StreamRow:
    return replace(ROW, teacher=replace(ROW.teacher, cost_usd=Decimal(amount)))


def price_of(settings: Settings) -> Decimal | None:
    teacher = settings.teacher
    return None if teacher is None or teacher.price is None else teacher.price.usd_per_request


def test_a_budget_replaces_every_promise() -> None:
    workload = settings_for([ROW], PRICED, None, A_CENT).workloads[0]
    assert (workload.effective_policy, workload.promise) == ("budget", None)
    assert workload.budget == WorkloadBudget(usd_per_interaction=A_CENT)


def test_what_a_stream_recorded_comes_before_the_configuration() -> None:
    assert price_of(settings_for([ROW], PRICED, None, A_CENT)) == A_CENT
    rows = [costing("0.02"), replace(costing("0.04"), id="2")]
    assert price_of(settings_for(rows, PRICED, None, A_CENT, rows)) == Decimal("0.03")
    assert price_of(settings_for(rows, None, None, A_CENT, rows)) == Decimal("0.03")
    # What later rows cost is unknown until they are asked.
    assert price_of(settings_for(rows, None, None, A_CENT)) == Decimal("0.02")
    assert price_of(settings_for(rows, PRICED, None)) == A_CENT


def test_without_a_price_or_a_clock_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="what an answer of the teacher costs"):
        settings_for([ROW], None, None, A_CENT)
    with pytest.raises(ConfigError, match="what an answer of the teacher costs"):
        settings_for([costing("0.02"), ROW], None, None, A_CENT)
    daily = WorkloadSettings(
        name="w", policy="budget", budget=WorkloadBudget(usd_per_day=Decimal(1))
    )
    with pytest.raises(ConfigError, match="no clock"):
        settings_for([ROW], PRICED.model_copy(update={"workloads": (daily,)}), None)
