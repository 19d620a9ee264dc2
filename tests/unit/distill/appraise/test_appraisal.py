"""What is told of a log, and what it takes to tell more."""

from __future__ import annotations

import random
from dataclasses import replace

from distill.appraise.appraisal import Appraisal, Part, to_json
from distill.appraise.forecast import Forecast, Interval, Staying, predict, reorder
from distill.appraise.log import Log, Logged
from distill.appraise.measure import by_workload, profile
from distill.appraise.page import write_page
from distill.appraise.text import describe
from distill.streams import RecordedAnswer, StreamRow
from policies.types import Answer
from router.meter.money import usd

DAY_S = 86_400.0
HALF = Interval(mean=0.5, low=0.4, high=0.6)
FORECAST = Forecast(
    promise=0.95,
    confidence=0.95,
    runs=3,
    interactions=4,
    served=HALF,
    asked=HALF,
    later=HALF,
    saving=HALF,
    agreement_low=0.96,
    held=3,
    mixed=0.75,
    reasons={"below_threshold": 0.4, "proof": 0.1},
    staying=[Staying(answer="<b>", interactions=4, share=0.5, example="<script>")],
    curve=[
        {"i": 2, "asked_rate": 1.0, "agreement": 1.0},
        {"i": 4, "asked_rate": 0.5, "agreement": 0.9},
    ],
)


def entry(text: str, answer: str, at_s: float | None = None) -> Logged:
    row = StreamRow(
        id=f"{text}-{at_s}",
        workload="w",
        body={"messages": [{"role": "user", "content": text}]},
        teacher=RecordedAnswer(answer=Answer(content=answer), cost_usd=usd("0.01")),
        student=None,
        gold=None,
    )
    return Logged(row=row, at_s=at_s)


def appraisal(days: float | None) -> Appraisal:
    entries = [entry("a", "x", 0.0), entry("A ", "y", 1.0), entry("a", "y", 2.0), entry("b", "x")]
    part = Part(
        name="w",
        label="Sort the message",
        profile=profile(entries, None, None, "label"),
        forecast=FORECAST,
        declined=None,
    )
    log = Log(name="log.jsonl", entries=entries, skipped={}, labels={"w": "w"})
    per_month = None if days is None or days < 7 else len(entries) / days * 30
    return Appraisal(log=log, parts=[part], days=days, per_month=per_month)


def test_repeats_and_the_teachers_agreement_with_itself_are_counted() -> None:
    found = appraisal(None).parts[0].profile
    assert (found.exact_repeats, found.asked_again, found.self_agreement) == (0.5, 2, 0.5)
    assert (found.different_answers, str(found.cost_usd)) == (2, "0.040000000000")


def test_a_cost_that_is_unknown_for_one_answer_is_unknown_for_all() -> None:
    known = entry("a", "x")
    unknown = replace(
        known, row=replace(known.row, teacher=RecordedAnswer(answer=Answer(content="x")))
    )
    assert profile([known, unknown], None, None, "label").cost_usd is None


def test_the_largest_workload_comes_first() -> None:
    other = replace(entry("c", "x"), row=replace(entry("c", "x").row, workload="v"))
    assert list(by_workload([other, entry("a", "x"), entry("b", "x")])) == ["w", "v"]


def test_a_month_is_told_from_a_week_and_refused_from_an_hour() -> None:
    assert to_json(appraisal(1 / 24))["month"] is None
    assert "A month can't be told from 60 minutes" in "\n".join(describe(appraisal(1 / 24)))
    assert "its entries have no times" in "\n".join(describe(appraisal(None)))
    month = to_json(appraisal(10.0))["month"]
    assert month["interactions"] == 12
    assert abs(month["cost_usd"] - 0.12) < 1e-9
    assert abs(month["saved_usd"]["mean"] - 0.06) < 1e-9


def test_an_order_that_matters_is_said() -> None:
    assert "the order matters" in "\n".join(describe(appraisal(None)))


def test_the_page_stands_alone_and_shows_no_markup_of_the_log() -> None:
    page = write_page(appraisal(10.0))
    assert "<script" not in page
    assert "http" not in page
    assert "&lt;script&gt;" in page
    assert "50.0% (40.0% to 60.0%)" in page


def test_the_interval_holds_what_one_further_run_reaches() -> None:
    """Runs of known spread: the interval from five covers a sixth about as often as it says."""
    rng = random.Random(5)
    covered = 0
    for _ in range(1_000):
        *seen, new = (rng.gauss(0.5, 0.05) for _ in range(6))
        interval = predict(seen, 10**9)
        covered += interval.low <= new <= interval.high
    assert 930 <= covered <= 970


def test_another_order_mixes_what_came_close_together_and_keeps_the_rest_in_place() -> None:
    rows = [entry(f"q{i}", "x").row for i in range(1_000)]
    mixed = reorder(rows, 1)
    places = {row.id: i for i, row in enumerate(rows)}
    moved = [places[row.id] - i for i, row in enumerate(mixed)]
    assert sorted(places[row.id] for row in mixed) == list(range(1_000))
    assert [places[row.id] // 100 for row in mixed] == [i // 100 for i in range(1_000)]
    assert sum(map(abs, moved)) / 1_000 > 20
    assert reorder(rows, 1) == mixed != reorder(rows, 2)
    assert [row.id for row in reorder(rows[:7], 3)] == [row.id for row in rows[:7]]
