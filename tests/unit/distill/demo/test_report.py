"""The demo's figures, from lines whose figures can be counted by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from distill.demo.report import (
    Evidence,
    build_lines,
    compose_result,
    describe_part,
    fifths,
    find_first_saved,
    write_table,
)
from distill.demo.shop import read_shop
from distill.demo.traffic import Received
from distill.replay.line import Line
from policies.intervals import wilson
from policies.types import Answer, Tier
from router.record.model import Interaction
from router.record.store import Store
from router.settings.model import ModelSettings, Price, PromiseSettings, Settings, WorkloadSettings
from tests.unit.distill.replay_lines import BY_STUDENT, BY_TEACHER
from tests.unit.router.record.records import make_record

ASKED = replace(BY_TEACHER, cost_usd=Decimal("0.01"), teacher_cost_usd=Decimal("0.01"))
SERVED = replace(BY_STUDENT, cost_usd=Decimal(0), teacher_cost_usd=Decimal("0.01"))
ROWS = read_shop(4)
SETTINGS = Settings(
    models={
        "teacher": ModelSettings(
            upstream="http://127.0.0.1:9/v1",
            model="stand-in",
            price=Price(input=Decimal(2), output=Decimal(10)),
        )
    },
    workloads=(WorkloadSettings(name="shop", promise=PromiseSettings(agreement=0.7)),),
)


def evidence(received: Sequence[Received]) -> Evidence:
    return Evidence(
        stream="shop",
        seed=0,
        settings=SETTINGS,
        rows=ROWS[: len(received)],
        received=received,
        began_at=100.0,
        seconds=50.0,
        dashboard="http://127.0.0.1:1/ui",
    )


def got(i: int, text: str | None, *, error: str | None = None) -> Received:
    return Received(
        i=i,
        streamed=i == 1,
        ended_at=110.0 + i,
        latency_ms=5.0,
        id=None if error else f"int_{i}",
        answer=None if text is None else Answer(content=text),
        error=error,
    )


def kept(i: int, tier: Tier, cost: str) -> Interaction:
    usd = Decimal(cost)
    return make_record(
        f"int_{i}", workload="shop", tier=tier, comparer="label", cost_usd=usd, attempts=()
    )


def test_the_first_and_the_last_fifth() -> None:
    lines = [replace(ASKED, id=str(n)) for n in range(11)]
    first, last = fifths(lines)
    assert [line.id for line in first] == ["0", "1"]
    assert [line.id for line in last] == ["9", "10"]
    assert fifths(lines[:3]) == (lines[:1], lines[2:3])


def test_a_part_has_shares_agreement_and_cost() -> None:
    part = describe_part([ASKED, SERVED, replace(SERVED, agreed=False), ASKED])
    assert part["agreement_served"] == 0.5
    assert part["tiers"] == {"recall": 0.0, "student": 0.5, "teacher": 0.5}
    assert part["agreement"] == 0.75
    assert part["cost_usd"] == 0.005


def test_one_unknown_cost_makes_the_mean_unknown() -> None:
    assert describe_part([ASKED, replace(ASKED, cost_usd=None)])["cost_usd"] is None


def test_the_first_cent_is_saved_net_of_what_was_paid() -> None:
    dear = replace(ASKED, cost_usd=Decimal("0.012"))
    lines = [ASKED, dear, SERVED, SERVED, SERVED]
    received = [got(i, "x") for i in (4, 0, 1, 2, 3)]
    # Saved so far: 0, -.002, .008, .018; the first message was the last one to be answered.
    assert find_first_saved(evidence(received), lines) == {"interactions": 4, "seconds": 14.0}
    assert find_first_saved(evidence(received[:3]), lines[:3]) is None
    unknown = [replace(SERVED, cost_usd=None), *lines[1:]]
    assert find_first_saved(evidence(received), unknown) == {"interactions": 4, "seconds": 14.0}


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    # Brown, Cai and DasGupta (2001), and limits that follow from the formula at 0 and n.
    [(5, 10, 0.2366, 0.7634), (10, 10, 0.7225, 1.0), (0, 10, 0.0, 0.2775)],
)
def test_wilsons_interval(successes: int, n: int, low: float, high: float) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=1e-4)


def test_what_counts_is_what_the_client_got() -> None:
    right = ROWS[1].teacher.answer.content
    received = [got(0, ROWS[0].teacher.answer.content), got(1, right), got(2, "nonsense")]
    records = {
        "int_0": kept(0, Tier.TEACHER, "0.0004"),
        "int_1": kept(1, Tier.STUDENT, "0"),
        "int_2": kept(2, Tier.STUDENT, "0"),
    }
    lines = build_lines(evidence(received), records)
    assert [line.id for line in lines] == [row.id for row in ROWS[:3]]
    assert [line.agreed for line in lines] == [True, True, False]
    assert lines[2].final == "nonsense"
    usage = ROWS[2].teacher.usage
    assert usage is not None
    exact = Decimal(usage.prompt_tokens * 2 + usage.completion_tokens * 10) / 1_000_000
    assert (lines[2].cost_usd, lines[2].teacher_cost_usd) == (Decimal(0), exact)


def test_a_failed_request_agrees_with_nothing_and_is_counted(tmp_path: Path) -> None:
    received = [got(0, "x", error=None), got(1, None, error="InternalServerError: 500")]
    lines = build_lines(evidence(received), {"int_0": kept(0, Tier.TEACHER, "0.0004")})
    assert [line.agreed for line in lines] == [True, False]
    store = Store.open(":memory:")
    result = compose_result(evidence(received), lines, store)
    store.close()
    assert (result["n"], result["failed"], result["streamed"]) == (2, 1, 1)
    assert (result["promise_held"], result["saving"]) == (False, None)
    assert "BROKEN" in write_table(result, lines)
    assert "1 failed" in write_table(result, lines)
    assert "not saved yet" in write_table(result, lines)


def test_only_releases_promoted_under_the_traffic_count() -> None:
    now = 0.0
    store = Store.open(":memory:", lambda: now)
    for digest, at in (("early", 99.0), ("during", 105.0), ("late", 200.0)):
        now = at
        store.add_release(digest=digest, workload="shop", path="/nowhere")
        store.set_active("shop", digest, "better")
    received = [got(0, "x")]
    lines = build_lines(evidence(received), {"int_0": kept(0, Tier.TEACHER, "0.0004")})
    result = compose_result(evidence(received), lines, store)
    store.close()
    assert (result["promoted_under_traffic"], result["releases"]) == (1, 3)


def test_the_table_says_what_the_result_says() -> None:
    asked, served = replace(ASKED, workload="shop"), replace(SERVED, workload="shop")
    lines: list[Line] = [asked] * 50 + [served] * 50
    store = Store.open(":memory:")
    received = [got(i, "x") for i in range(100)]
    result = compose_result(evidence(received), lines, store)
    store.close()
    table = write_table(result, lines)
    assert "first cent      saved after 51 interactions, 60 s" in table
    assert result["start_cost_usd"] == 0.01
    assert result["end_cost_usd"] == 0.0
    assert "saving          50.0%: $0.5000 instead of $1.00" in table
    assert result["agreement_interval"] == wilson(100, 100)
    (row,) = [line for line in table.splitlines() if "agreement of the student's answers" in line]
    assert row.split()[-3:] == ["–", "100.0%", "100.0%"]
    assert table.endswith("70.0% at 95% confidence: held")


def test_a_promise_that_the_student_had_no_part_in_is_said_to_be_one() -> None:
    lines: list[Line] = [replace(ASKED, workload="shop")] * 10
    store = Store.open(":memory:")
    result = compose_result(evidence([got(i, "x") for i in range(10)]), lines, store)
    store.close()
    assert write_table(result, lines).endswith("held: the student served nothing yet")
