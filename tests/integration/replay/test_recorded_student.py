"""A stream with a student's drafts: they are used, and only the gate over them is learned."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from tests.integration.replay.streams import Run, decisions, replay, write_stream

COUNT = 600


def make_drafted(evidence: bool = True, seed: int = 11) -> list[dict[str, Any]]:
    """Open-ended questions; the student is right where it is sure, as far as its evidence goes."""
    rng = random.Random(seed)
    rows = []
    for i in range(COUNT):
        sure = rng.random()
        right = rng.random() < sure**0.15
        student: dict[str, Any] = {
            "content": f"answer {i}" if right else f"answxr {i}",
            "cost_usd": 0.0001,
            "correct": right,
        }
        if evidence:
            student["evidence"] = {"mean_logprob": math.log(max(sure, 1e-6))}
        rows.append(
            {
                "id": f"q{i}",
                "request": {"messages": [{"role": "user", "content": f"question {i}?"}]},
                "teacher": {"content": f"answer {i}", "cost_usd": 0.001, "correct": True},
                "student": student,
            }
        )
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drafted")


@pytest.fixture(scope="module")
def base(folder: Path) -> Run:
    stream = write_stream(folder / "base.jsonl", make_drafted())
    return replay(stream, "--promise", "0.8", "--no-shuffle")


def test_recorded_drafts_are_served_although_the_answers_are_no_closed_set(base: Run) -> None:
    assert (base.code, base.err) == (0, "")
    assert base.result["releases"] >= 2
    assert base.result["served_by_student"] > 100
    assert base.result["agreement"] >= 0.8
    served = [line for line in base.trace if line["tier"] == "student"]
    assert all(line["final"] == line["draft"] for line in served)
    assert all(line["score"] >= line["threshold"] for line in served)


def test_what_a_draft_costs_is_counted(base: Run) -> None:
    asked, n = base.result["asked"], base.result["n"]
    assert base.result["cost_usd"] == pytest.approx(0.001 * asked + 0.0001 * n)
    assert base.result["teacher_cost_usd"] == pytest.approx(0.001 * n)


def test_there_is_a_draft_before_there_is_a_gate(base: Run) -> None:
    first = base.trace[:100]
    assert all(line["draft"] is not None and line["score"] is None for line in first)
    assert {line["reason"] for line in first} == {"evidence_missing"}


def test_drafts_that_nothing_tells_apart_are_not_served_under_a_strict_promise(
    folder: Path,
) -> None:
    """What can be measured on these drafts says nothing about whether they are right."""
    stream = write_stream(folder / "mute.jsonl", make_drafted(evidence=False))
    run = replay(stream, "--promise", "0.97", "--no-shuffle")
    assert run.result["asked"] == COUNT


def test_answers_that_were_not_asked_for_change_nothing(base: Run, folder: Path) -> None:
    asked = {line["id"]: line["asked"] for line in base.trace}
    rows = make_drafted()
    for row in rows:
        if not asked[row["id"]]:
            row["teacher"] = {"content": "never to be seen", "cost_usd": 0.001, "correct": False}
            row["student"]["correct"] = False
    again = replay(write_stream(folder / "hidden.jsonl", rows), "--promise", "0.8", "--no-shuffle")
    assert decisions(again.trace) == decisions(base.trace)
    assert again.result["agreement"] < base.result["agreement"]


def test_a_stream_in_which_only_some_rows_have_drafts_says_what_it_replays(folder: Path) -> None:
    rows = make_drafted()
    del rows[5]["student"]
    stream = write_stream(folder / "some.jsonl", rows)
    run = replay(stream, "--promise", "0.8", "--limit", "50", "--no-shuffle")
    assert run.code == 0
    assert "embedded student" in run.err
