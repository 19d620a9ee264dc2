"""``--fit``: everything is learned first; ``--label-delay``: answers become known late."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tests.integration.learning.trainer import write_trainer
from tests.integration.replay.streams import Run, make_stream, replay, write_config, write_stream
from tests.integration.replay.test_recorded_student import make_drafted


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fit")


@pytest.fixture(scope="module")
def config(folder: Path) -> Path:
    return write_config(folder)


@pytest.fixture(scope="module")
def first(folder: Path) -> Path:
    return write_stream(folder / "first.jsonl", make_stream(700, seed=6))


@pytest.fixture(scope="module")
def fitted(folder: Path, config: Path, first: Path) -> Run:
    later = write_stream(folder / "later.jsonl", make_stream(300, seed=5))
    return replay(later, "--config", config, "--fit", first)


def without_answers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "teacher": {**row["teacher"], "content": "never to be seen"}} for row in rows]


def test_it_serves_from_the_first_query_on_and_learns_nothing_more(fitted: Run) -> None:
    assert (fitted.code, fitted.err) == (0, "")
    assert fitted.result["releases"] == 1
    assert {line["release"] for line in fitted.trace} == {fitted.trace[0]["release"]}
    assert len({line["threshold"] for line in fitted.trace}) == 1
    assert {line["reason"] for line in fitted.trace} == {"certified", "below_threshold"}
    assert fitted.result["agreement"] >= 0.9
    claim = {"at_least": 0.9, "confidence": 0.95, "over": "all", "kind": "exchangeable"}
    assert fitted.result["certified"] == [claim | {"from": 0, "to": 300}]


def test_what_was_fitted_on_is_not_counted(fitted: Run) -> None:
    assert fitted.result["n"] == len(fitted.trace) == 300
    assert fitted.result["asked"] == sum(line["tier"] == "teacher" for line in fitted.trace)


def test_no_answer_of_the_replayed_stream_plays_a_part(
    fitted: Run, folder: Path, config: Path, first: Path
) -> None:
    rows = without_answers(make_stream(300, seed=5))
    again = replay(write_stream(folder / "hidden.jsonl", rows), "--config", config, "--fit", first)
    drafted = [(line["id"], line["draft"], line["tier"], line["score"]) for line in again.trace]
    assert drafted == [(x["id"], x["draft"], x["tier"], x["score"]) for x in fitted.trace]


def test_too_little_to_fit_on_serves_nothing_and_says_so(folder: Path, config: Path) -> None:
    few = write_stream(folder / "few.jsonl", make_stream(50, seed=6))
    later = write_stream(folder / "after-few.jsonl", make_stream(60, seed=5))
    run = replay(later, "--config", config, "--fit", few)
    assert (run.code, run.result["asked"], run.result["certified"]) == (0, 60, [])
    assert "Nothing is served: shop: 50 of 50 answers can be learned from; 100 are needed" in (
        run.err
    )


def test_a_promise_that_the_rows_cannot_prove_serves_nothing_and_says_so(folder: Path) -> None:
    rows = make_drafted()
    for i, row in enumerate(rows):  # sure of everything, right half of the time
        row["student"]["content"] = f"answer {i}" if i % 2 else f"answxr {i}"
        row["student"]["evidence"] = {"mean_logprob": math.log(0.9) - 1e-6 * i}
    stream = write_stream(folder / "hopeless.jsonl", rows)
    same = write_stream(folder / "hopeless-too.jsonl", rows)
    run = replay(stream, "--fit", same, "--promise", "0.99")
    assert run.result["asked"] == run.result["n"]
    assert run.result["certified"] == []
    assert "prove no threshold; promise less, or fit on more." in run.err


def test_recorded_drafts_are_fitted_and_served(folder: Path) -> None:
    first = write_stream(folder / "drafts.jsonl", make_drafted(seed=12))
    later = write_stream(folder / "later-drafts.jsonl", make_drafted(seed=13))
    run = replay(later, "--fit", first, "--promise", "0.8")
    assert (run.code, run.err) == (0, "")
    assert run.result["served_by_student"] > 200
    assert run.result["agreement"] >= 0.8


def test_a_stream_is_not_fitted_on_itself(config: Path, first: Path) -> None:
    run = replay(first, "--config", config, "--fit", first)
    assert run.code == 2
    assert "would measure memory" in run.err


def test_two_ways_to_begin_exclude_each_other(folder: Path, first: Path) -> None:
    run = replay(first, "--fit", first, "--warm-start", first)
    assert run.code == 2
    assert "give one of them" in run.err


def test_something_to_serve_under_is_needed(first: Path) -> None:
    run = replay(first, "--fit", first)
    assert run.code == 2
    assert "give --promise 0.95" in run.err


def test_a_workload_that_was_not_fitted_is_named(folder: Path, first: Path) -> None:
    rows = [{**row, "workload": "other"} for row in make_stream(30, seed=5)]
    run = replay(write_stream(folder / "other.jsonl", rows), "--fit", first, "--promise", "0.9")
    assert (run.code, run.result["asked"]) == (0, 30)
    assert "Nothing is served of other: the --fit stream has no row of it." in run.err


def test_a_draft_that_is_never_checked_had_no_chance_to_be_known(fitted: Run) -> None:
    assert {line["propensity"] for line in fitted.trace if line["tier"] == "student"} == {0.0}


def test_the_embedded_student_costs_nothing_where_drafts_were_recorded_too(
    folder: Path, first: Path, config: Path
) -> None:
    rows = make_stream(60, seed=5)
    for row in rows:
        row["teacher"]["cost_usd"] = 0.01
        row["student"] = {"content": "parcel", "cost_usd": 0.5}
    stream = write_stream(folder / "both.jsonl", rows)
    run = replay(stream, "--config", config, "--fit", first)
    assert run.result["cost_usd"] == pytest.approx(0.01 * run.result["asked"])


def test_delayed_answers_come_too_late_for_as_many_queries(folder: Path, config: Path) -> None:
    stream = write_stream(folder / "delayed.jsonl", make_stream(400))
    runs = {
        delay: replay(stream, "--config", config, "--label-delay", str(delay), "--no-shuffle")
        for delay in (0, 40)
    }
    began = {
        delay: next(i for i, line in enumerate(run.trace) if line["release"] is not None)
        for delay, run in runs.items()
    }
    assert began[40] == began[0] + 40
    served = {delay: run.result["served_by_student"] for delay, run in runs.items()}
    assert 0 < served[40] < served[0]


def test_nothing_is_known_where_the_delay_outlasts_the_stream(folder: Path, config: Path) -> None:
    stream = write_stream(folder / "never.jsonl", make_stream(300))
    run = replay(stream, "--config", config, "--label-delay", "300")
    assert (run.result["asked"], run.result["releases"]) == (300, 0)


def test_an_encoder_is_tuned_on_what_is_fitted_on_and_nothing_else(
    folder: Path, config: Path, first: Path
) -> None:
    later = make_stream(60, seed=5)
    stream = write_stream(folder / "tuned.jsonl", later)
    run = replay(stream, "--config", config, "--fit", first, "--tune", write_trainer(folder))
    assert (run.code, run.result["releases"]) == (0, 1)
    (seen,) = folder.rglob("seen.json")
    texts = set(json.loads(seen.read_text()))
    fitted_on = {row["request"]["messages"][-1]["content"] for row in make_stream(700, seed=6)}
    assert 100 < len(texts) <= len(fitted_on) - 100
    assert texts < fitted_on


def test_there_is_nothing_to_tune_on_without_fit(folder: Path, config: Path, first: Path) -> None:
    run = replay(first, "--config", config, "--tune", "python")
    assert run.code == 2
    assert "--tune belongs to --fit" in run.err
