"""A report over a store whose figures can be counted by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from distill.report.gather import gather
from distill.report.page import write_page
from distill.report.period import Period, between, last_weeks
from policies.types import Tier
from router.errors import UsageError
from router.record.checks import Checks, estimate_agreement
from router.record.model import Interaction, KeptAlarm
from router.record.store import Store
from router.settings.model import LearningSettings, PromiseSettings, Settings, WorkloadSettings
from tests.unit.router.record.records import make_record

WEEK = Period(first=date(2026, 1, 12), end=date(2026, 1, 19))
MONDAY = datetime(2026, 1, 12, tzinfo=UTC).timestamp()
CENT = Decimal("0.01")
HOSTILE = "<script>alert(1)</script> write to joe@example.com, card 4111 1111 1111 1111"
PROMISED = Settings(
    workloads=(WorkloadSettings(name="support", promise=PromiseSettings(agreement=0.9)),)
)


class Clock:
    now = MONDAY

    def __call__(self) -> float:
        return self.now


def asked(name: str, at: float, **changes: Any) -> Interaction:
    usual: dict[str, Any] = {"cost_usd": CENT, "teacher_cost_usd": CENT, "agreed": True}
    return make_record(name, created_at=MONDAY + at, **usual | {"attempts": ()} | changes)


def served(name: str, at: float, **changes: Any) -> Interaction:
    usual: dict[str, Any] = {
        "tier": Tier.STUDENT,
        "reason": "certified",
        "answer": {"content": "billing"},
        "draft": {"content": "billing"},
        "teacher_answer": None,
        "seen": False,
        "agreed": None,
        "cost_usd": Decimal(0),
        "teacher_cost_estimated": True,
        "propensity": 0.5,
        "confidence": 0.9,
        "release": "b" * 16,
    }
    return asked(name, at, **usual | changes)


def audited(name: str, at: float, *, agrees: bool, **changes: Any) -> Interaction:
    found = {"seen": True, "agreed": agrees, "draft_agreed": agrees}
    return served(name, at, **found | {"teacher_answer": {"content": "delivery"}} | changes)


def history() -> Iterator[Interaction]:
    yield from (asked(f"before{n}", -86_400.0 + n) for n in range(4))
    yield from (asked(f"asked{n}", 10.0 + n) for n in range(10))
    yield from (served(f"served{n}", 100.0 + n) for n in range(20))
    yield from (audited(f"right{n}", 200.0 + n, agrees=True) for n in range(9))
    yield audited("wrong", 300.0, agrees=False, input_text=HOSTILE, confidence=0.99)
    yield asked("drift", 400.0, reason="drift", draft_agreed=False, draft={"content": "refund"})
    yield asked("other", 500.0, workload="intake", tenant="bank", cost_usd=None)
    yield asked("after", 7 * 86_400.0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    clock = Clock()
    opened = Store.open(f"sqlite:///{tmp_path}/t.db", clock)
    opened.append(list(history()))
    for n, digest in enumerate(("a" * 16, "b" * 16)):
        clock.now = MONDAY + 50.0 * n - 1.0
        opened.add_release(digest=digest, workload="support", path="none", report={})
        opened.set_active("support", digest, f"better by {n}")
    yield opened
    opened.close()


def test_figures_are_those_that_a_hand_counts(store: Store) -> None:
    found = gather(store, PROMISED, WEEK)
    now, before = found["total"]["now"], found["total"]["before"]
    assert (now["interactions"], before["interactions"]) == (42, 4)
    assert now["by_tier"] == {"recall": 0, "student": 30, "teacher": 12}
    assert (now["cost_usd"], now["unknown_costs"]) == ("0.11", 1)
    assert (now["saved_usd"], now["saving"]) == ("0.3", pytest.approx(0.30 / 0.41))
    intake, support = found["parts"]
    assert (intake["workload"], intake["tenant"], intake["now"]["interactions"]) == (
        "intake",
        "bank",
        1,
    )
    assert (support["now"]["interactions"], support["before"]["interactions"]) == (41, 4)
    agreement = support["now"]["agreement"]
    assert agreement["checks"] == 10
    # One of ten audits, each for two served drafts, is wrong: 10 % of 30 among 41.
    assert agreement["all"]["estimate"] == pytest.approx(1 - 30 / 41 * 0.1)
    assert agreement["all"]["low"] < 0.9 < agreement["all"]["high"]
    assert support["promise"] == {"agreement": 0.9, "over": "all", "verdict": "within the interval"}
    assert [week["interactions"] for week in found["weeks"]] == [4, 42]
    assert found["withheld"][0]["interactions"] == 1
    assert found["reasons"][0] == {"tier": "student", "reason": "certified", "interactions": 30}


def test_releases_tell_what_they_changed(store: Store) -> None:
    (only,) = gather(store, PROMISED, WEEK)["releases"]  # the other came the second before
    assert (only["number"], only["action"], only["reason"]) == (2, "promoted", "better by 1")
    assert only["under_it"]["interactions"] == 30
    assert only["under_it"]["escalated"] == 0.0
    assert only["under_the_one_before"]["interactions"] == 0


def test_disagreements_are_redacted_and_the_served_come_first(store: Store) -> None:
    first, second = gather(store, PROMISED, WEEK)["disagreements"]
    assert (first["id"], first["served"], second["id"]) == ("wrong", True, "drift")
    assert "[email]" in first["asked"]
    assert "[card]" in first["asked"]
    assert (first["draft"], first["teacher"]) == ("billing", "delivery")


class Strict(HTMLParser):
    """Every tag that is opened is closed in order; what is fetched from elsewhere is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [name for name, _ in attrs if name in ("src", "href")]
        self.fetched += [tag] * (tag in ("script", "link", "img", "iframe"))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_fetches_nothing_and_is_the_same_each_time(store: Store) -> None:
    page = write_page(gather(store, PROMISED, WEEK))
    assert page == write_page(gather(store, PROMISED, WEEK))
    reader = Strict()
    reader.feed(page)
    assert (reader.open, reader.fetched) == ([], [])
    assert "Cost and quality, 2026-01-12 to 2026-01-18" in page
    assert "joe@example.com" not in page
    assert "92.7% (" in page
    json.dumps(gather(store, PROMISED, WEEK))


def test_alarms_of_the_period_are_told_as_they_stood_at_its_end(store: Store) -> None:
    usual: dict[str, Any] = {"workload": "support", "trial": 7, "strength": 1.5}
    days = (("novelty", -1.0), ("agreement", 2.0), ("evidence", 6.0), ("teacher", 7.0))
    for kind, day in days:
        at = MONDAY + day * 86_400.0
        over = {"novelty": at + 60.0, "agreement": at + 60.0, "evidence": at + 2 * 86_400.0}
        store.add_alarm(KeptAlarm(kind=kind, at=at, ended_at=over.get(kind), **usual))  # type: ignore[arg-type]
    told = gather(store, PROMISED, WEEK)["alarms"]
    assert [(one["kind"], one["ended_at"]) for one in told] == [
        ("agreement", MONDAY + 2 * 86_400.0 + 60.0),
        ("evidence", None),
    ]
    page = write_page(gather(store, PROMISED, WEEK))
    assert "drafts agree with the teacher less often" in page


def test_training_counts_where_a_core_has_a_price(store: Store, tmp_path: Path) -> None:
    clock = Clock()
    opened = Store.open(f"sqlite:///{tmp_path}/t.db", clock)
    for at in (MONDAY - 60.0, MONDAY + 60.0):
        clock.now = at
        cycle = opened.begin_cycle("support", 4)
        assert cycle is not None
        opened.end_cycle(cycle, "promoted", {"core_seconds": 1800.0})
    opened.close()
    unpriced = gather(store, PROMISED, WEEK)
    learning = LearningSettings(usd_per_core_hour=Decimal("0.08"))
    priced = gather(store, PROMISED.model_copy(update={"learning": learning}), WEEK)
    assert unpriced["training"] == {"core_seconds": 1800.0, "cost_usd": None}
    assert priced["training"]["cost_usd"] == "0.04"
    assert "counted as 0" in write_page(unpriced)
    assert "$0.3000 were saved before it, $0.2600 after it." in write_page(priced)


def test_a_quiet_week_is_a_page_too(store: Store) -> None:
    quiet = between(date(2025, 3, 3), date(2025, 3, 10))
    assert "There were no interactions." in write_page(gather(store, PROMISED, quiet))


@pytest.mark.parametrize(
    ("wrong", "verdict"), [(0, "kept"), (60, "broken")], ids=["kept", "broken"]
)
def test_a_promise_is_judged_by_the_whole_interval(wrong: int, verdict: str) -> None:
    opened = Store.open(":memory:")
    opened.append([audited(f"i{n}", 10.0 + n, agrees=n >= wrong) for n in range(200)])
    (part,) = gather(opened, PROMISED, WEEK)["parts"]
    opened.close()
    assert part["promise"]["verdict"] == verdict


def test_agreement_by_checks_of_unlike_weight_is_worth_less() -> None:
    def width(square_weight: float) -> float:
        checks = Checks(
            answered=1000,
            served=1000,
            checked=100,
            weight=1000.0,
            square_weight=square_weight,
            wrong_weight=50.0,
        )
        found = estimate_agreement(checks)
        assert found is not None
        return float(found["all"]["high"] - found["all"]["low"])

    assert width(10_000.0) < width(40_000.0)  # the like of 100 checks, of 25


def test_nothing_checked_is_not_measured_and_the_teacher_agrees_with_itself() -> None:
    nothing = {"checked": 0, "weight": 0.0, "square_weight": 0.0, "wrong_weight": 0.0}
    assert estimate_agreement(Checks(answered=5, served=2, **nothing)) is None  # type: ignore[arg-type]
    assert estimate_agreement(Checks(answered=0, served=0, **nothing)) is None  # type: ignore[arg-type]
    alone = estimate_agreement(Checks(answered=5, served=0, **nothing))  # type: ignore[arg-type]
    assert alone is not None
    assert alone["all"] == {"estimate": 1.0, "low": 1.0, "high": 1.0}


def test_weeks_are_whole_and_over() -> None:
    wednesday = datetime(2026, 1, 21, 15, tzinfo=UTC).timestamp()
    assert last_weeks(1, wednesday) == WEEK
    assert last_weeks(2, wednesday).before.end == date(2026, 1, 5)
    parts = list(between(date(2026, 1, 1), date(2026, 1, 10)).weeks())
    assert [(part.end - part.first).days for part in parts] == [7, 2]
    with pytest.raises(UsageError, match="must be after"):
        between(date(2026, 1, 2), date(2026, 1, 2))
