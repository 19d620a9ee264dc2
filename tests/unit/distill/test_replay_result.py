"""The figures of a replay: by hand on small cases, against a second program on others."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.replay import recompute
from distill.replay.result import Claim, Line, SliceTerms, read_trace, summarize, write_trace
from policies.types import Tier
from tests.unit.distill.replay_lines import BY_STUDENT, BY_TEACHER

RESULT_KEYS = (
    "stream n seed promise confidence asked asked_rate audited served_by_student "
    "served_by_recall agreement agreement_served agreement_recalled agreement_worst_window "
    "promise_held certified accuracy teacher_accuracy cost_usd teacher_cost_usd saving "
    "second_half releases seconds curve"
)


def _summarize(lines: list[Line], promise: float | None = None) -> dict[str, Any]:
    result = summarize(
        lines,
        stream="s.jsonl",
        seed=0,
        promise=promise,
        confidence=None,
        claims=[],
        releases=0,
        seconds=1.5,
    )
    assert " ".join(result) == RESULT_KEYS
    return result


def test_figures_of_four_queries() -> None:
    asked = replace(BY_TEACHER, cost_usd=Decimal("0.1"), teacher_cost_usd=Decimal("0.1"))
    asked = replace(asked, correct=True, teacher_correct=True)
    served = replace(BY_STUDENT, cost_usd=Decimal(0), teacher_cost_usd=Decimal("0.1"))
    served = replace(served, correct=True, teacher_correct=True)
    wrong = replace(served, agreed=False, correct=False)
    audited = replace(wrong, asked=True, background=True, cost_usd=Decimal("0.1"))
    claim = Claim(at_least=0.5, confidence=0.9, over="all", kind="guaranteed", start=1, end=4)
    result = summarize(
        [asked, served, wrong, audited],
        stream="s.jsonl",
        seed=None,
        promise=0.5,
        confidence=0.9,
        claims=[claim],
        releases=2,
        seconds=3.25,
    )
    assert result == {
        "stream": "s.jsonl",
        "n": 4,
        "seed": None,
        "promise": 0.5,
        "confidence": 0.9,
        "asked": 2,
        "asked_rate": 0.5,
        "audited": 1,
        "served_by_student": 3,
        "served_by_recall": 0,
        "agreement": 0.5,
        "agreement_served": 1 / 3,
        "agreement_recalled": None,
        "agreement_worst_window": None,
        "promise_held": True,
        "certified": [
            {
                "at_least": 0.5,
                "confidence": 0.9,
                "over": "all",
                "kind": "guaranteed",
                "from": 1,
                "to": 4,
            }
        ],
        "accuracy": 0.5,
        "teacher_accuracy": 1.0,
        "cost_usd": 0.2,
        "teacher_cost_usd": 0.4,
        "saving": 0.5,
        "second_half": {"asked_rate": 0.5, "agreement": 0.0},
        "releases": 2,
        "seconds": 3.25,
        "curve": [
            {"i": 1, "asked_rate": 1.0, "agreement": 1.0, "cost_usd": 0.1},
            {"i": 2, "asked_rate": 0.5, "agreement": 1.0, "cost_usd": 0.1},
            {"i": 3, "asked_rate": 1 / 3, "agreement": 2 / 3, "cost_usd": 0.1},
            {"i": 4, "asked_rate": 0.5, "agreement": 0.5, "cost_usd": 0.2},
        ],
    }


def test_nothing_is_made_up_where_nothing_is_known() -> None:
    result = _summarize([BY_TEACHER, BY_TEACHER])
    unknown = {name for name, value in result.items() if value is None}
    assert unknown == {
        "promise",
        "confidence",
        "agreement_served",
        "agreement_recalled",
        "agreement_worst_window",
        "promise_held",
        "accuracy",
        "teacher_accuracy",
        "cost_usd",
        "teacher_cost_usd",
        "saving",
    }
    assert [point["cost_usd"] for point in result["curve"]] == [None, None]


def test_a_replay_of_nothing_has_no_shares() -> None:
    result = _summarize([], promise=0.9)
    assert (result["n"], result["asked"], result["curve"]) == (0, 0, [])
    assert result["asked_rate"] is None
    assert result["agreement"] is None
    assert result["promise_held"] is None
    assert result["second_half"] == {"asked_rate": None, "agreement": None}


def test_one_unknown_line_makes_a_sum_and_an_accuracy_unknown() -> None:
    known = replace(
        BY_TEACHER,
        cost_usd=Decimal(1),
        teacher_cost_usd=Decimal(1),
        correct=True,
        teacher_correct=True,
    )
    assert _summarize([known, known])["saving"] == 0.0
    result = _summarize([known, BY_TEACHER])
    assert [result[name] for name in ("cost_usd", "saving", "accuracy")] == [None] * 3
    assert [point["cost_usd"] for point in result["curve"]] == [1.0, None]


def test_a_free_teacher_saves_nothing_that_could_be_named() -> None:
    free = replace(BY_TEACHER, cost_usd=Decimal(0), teacher_cost_usd=Decimal(0))
    assert _summarize([free])["saving"] is None


def test_money_is_added_exactly() -> None:
    cents = [
        replace(BY_TEACHER, cost_usd=Decimal("0.1"), teacher_cost_usd=Decimal("0.3"))
        for _ in range(10)
    ]
    result = _summarize(cents)
    assert (result["cost_usd"], result["teacher_cost_usd"]) == (1.0, 3.0)
    assert result["saving"] == 2 / 3


def test_a_promise_is_held_to_the_last_query() -> None:
    served = [BY_STUDENT] * 97 + [replace(BY_STUDENT, agreed=False)] * 3
    assert _summarize(served, promise=0.97)["promise_held"] is True
    assert _summarize(served[1:], promise=0.97)["promise_held"] is False


def test_the_worst_window_begins_with_the_first_release() -> None:
    wrong = replace(BY_STUDENT, agreed=False)
    before = [replace(wrong, release=None)] * 5
    assert _summarize([*before, *[BY_STUDENT] * 999])["agreement_worst_window"] is None
    assert _summarize([*before, *[BY_STUDENT] * 1_000])["agreement_worst_window"] == 1.0
    # A window may begin with a query that no release drafted, once there has been one.
    late = [BY_STUDENT, *[BY_TEACHER] * 998, wrong, wrong, *[BY_STUDENT] * 999]
    assert _summarize([*before, *late])["agreement_worst_window"] == 0.998
    assert _summarize([*before, *late[:1_000]])["agreement_worst_window"] == 0.999


def test_the_curve_has_fifty_points_and_ends_at_the_end() -> None:
    points = [point["i"] for point in _summarize([BY_TEACHER] * 101)["curve"]]
    assert len(points) == 50
    assert points[:3] == [2, 4, 6]
    assert points[-1] == 101


def test_the_second_half_of_an_odd_number_has_the_middle() -> None:
    asked, served = BY_TEACHER, BY_STUDENT
    assert _summarize([served, asked, served])["second_half"]["asked_rate"] == 0.5


MONEY = st.none() | st.decimals(0, 1_000, places=12)
FLAG = st.none() | st.booleans()


@st.composite
def lines_of_a_run(draw: st.DrawFn) -> list[Line]:
    """Runs that are priced and judged in full, in part or not at all."""
    money = draw(st.sampled_from([MONEY, MONEY.filter(lambda amount: amount is not None)]))
    flag = draw(st.sampled_from([FLAG, st.booleans()]))
    a_line = st.builds(
        Line,
        id=st.text(),
        draft=st.none() | st.text(),
        final=st.none() | st.text(),
        tier=st.sampled_from([str(tier) for tier in Tier]),
        asked=st.booleans(),
        background=st.booleans(),
        propensity=st.floats(0, 1),
        score=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        threshold=st.none() | st.floats(0, 1),
        agreed=st.booleans(),
        release=st.none() | st.just("r1"),
        cost_usd=money,
        teacher_cost_usd=money,
        correct=flag,
        teacher_correct=flag,
        reason=st.text(),
        workload=st.text(),
    )
    some = draw(st.lists(a_line, max_size=8))
    # Long runs repeat what was drawn: windows and curves need thousands of lines.
    return some * draw(st.sampled_from([1, 1, 17, 400]))


@settings(deadline=None, max_examples=60)
@given(lines=lines_of_a_run(), promise=st.none() | st.floats(0, 1))
def test_a_second_program_finds_the_same_figures_in_the_trace(
    lines: list[Line], promise: float | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "trace.jsonl"
    write_trace(lines, path)
    assert read_trace(path) == lines
    result = json.loads(json.dumps(_summarize(lines, promise)))
    compared = recompute.compare(result, recompute.read_rows(path))
    assert [figure for figure in compared if not figure[-1]] == []
    assert {figure[0] for figure in compared} == set(RESULT_KEYS.split()) - set(recompute.GIVEN)


def test_the_second_program_finds_every_wrong_figure(tmp_path: Path) -> None:
    priced = replace(BY_STUDENT, cost_usd=Decimal(1), teacher_cost_usd=Decimal(2), correct=True)
    path = tmp_path / "trace.jsonl"
    write_trace([priced] * 1_200, path)
    rows = recompute.read_rows(path)
    result = _summarize([priced] * 1_200, promise=0.9)
    for name in set(RESULT_KEYS.split()) - set(recompute.GIVEN):
        for changed in ({**result, name: "other"}, {k: v for k, v in result.items() if k != name}):
            differing = [each for each, *_, same in recompute.compare(changed, rows) if not same]
            assert differing == [name]
    assert not recompute.compare({**result, "more": 1}, rows)[-1][-1]


def test_a_slice_has_its_own_figures_and_both_programs_find_them(tmp_path: Path) -> None:
    inside = replace(BY_STUDENT, workload="w", slices=("s",), agreed=False)
    elsewhere = replace(inside, workload="v")
    lines = [inside, replace(BY_TEACHER, workload="w", slices=("s", "t")), BY_STUDENT, elsewhere]
    terms = [
        SliceTerms(workload="w", name=name, agreement=0.5, confidence=0.9) for name in ("s", "u")
    ]
    claim = Claim(
        at_least=0.5, confidence=0.9, over="all", kind="exchangeable", start=0, end=4, slice="s"
    )
    given = {"stream": "s", "seed": 0, "promise": None, "confidence": None}
    result = summarize(lines, **given, claims=[claim], releases=0, seconds=1.0, slices=terms)
    first, second = result["slices"]
    assert (first["slice"], first["n"], first["served_by_student"]) == ("s", 2, 1)
    assert (first["agreement"], first["agreement_served"], first["asked_rate"]) == (0.5, 0.0, 0.5)
    assert first["promise_held"] is True
    assert (second["n"], second["agreement"], second["promise_held"]) == (0, None, None)
    assert result["certified"][0]["slice"] == "s"
    path = tmp_path / "trace.jsonl"
    write_trace(lines, path)
    assert read_trace(path) == lines
    rows = recompute.read_rows(path)
    assert all(same for *_, same in recompute.compare(result, rows))
    first["agreement"] = 0.4
    assert [one for one, *_, same in recompute.compare(result, rows) if not same] == ["slices"]


def _run_recompute(*arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", recompute.__file__, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_recompute_as_a_command(tmp_path: Path) -> None:
    trace, result = tmp_path / "trace.jsonl", tmp_path / "result.json"
    write_trace([BY_TEACHER, BY_STUDENT], trace)
    figures = _summarize([BY_TEACHER, BY_STUDENT])
    result.write_text(json.dumps(figures), encoding="utf-8")
    good = _run_recompute(result, trace)
    assert good.returncode == 0
    assert "asked_rate 0.5 0.5 ok\n" in good.stdout

    result.write_text(json.dumps({**figures, "asked_rate": 0.25}), encoding="utf-8")
    bad = _run_recompute(result, trace)
    assert bad.returncode == 1
    assert "asked_rate 0.25 0.5 DIFFERS\n" in bad.stdout

    unreadable = _run_recompute(result, tmp_path / "nothing")
    assert unreadable.returncode == 2
    assert unreadable.stderr.startswith("This is no result with its trace")
