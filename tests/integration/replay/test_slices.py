"""Slices in a replay: each keeps the promise by itself, whatever the rest does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.replay.streams import Run, make_stream, replay, write_config, write_stream

SLICES = [
    {"name": "passwords", "match": "*password*"},
    {"name": "short", "match": {"max_chars": 20}, "agreement": 0.95},
    {"name": "nobody", "match": {"tenant": "nobody"}},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slices")


@pytest.fixture(scope="module")
def config(folder: Path) -> Path:
    promise = {"agreement": 0.9, "confidence": 0.8}
    return write_config(folder, workloads=[{"name": "shop", "promise": promise, "slices": SLICES}])


@pytest.fixture(scope="module")
def sliced(folder: Path, config: Path) -> Run:
    return replay(write_stream(folder / "base.jsonl", make_stream(700)), "--config", config)


def test_each_slice_is_reported_and_claimed_by_its_own_terms(sliced: Run) -> None:
    passwords, short, nobody = sliced.result["slices"]
    inside = [line for line in sliced.trace if "passwords" in line.get("slices", ())]
    assert (passwords["n"], nobody["n"]) == (len(inside), 0)
    assert passwords["n"] > 30
    assert (passwords["promise"], short["promise"]) == (0.9, 0.95)
    # A fifth is shared by the whole and three slices.
    assert passwords["confidence"] == pytest.approx(0.95)
    assert passwords["agreement"] == sum(line["agreed"] for line in inside) / len(inside)
    assert sliced.result["certified"][0].get("slice") is None
    assert "slice passwords" in sliced.out


def test_nothing_of_a_slice_is_served_before_it_is_proven(sliced: Run) -> None:
    inside = [line for line in sliced.trace if "short" in line.get("slices", ())]
    served = [line for line in sliced.trace if line["tier"] == "student"]
    assert inside
    assert all(line["tier"] == "teacher" for line in inside)
    assert {"slice_unproven"} <= {line["reason"] for line in inside}
    assert len(served) > 50


def test_a_batch_proves_each_slice_and_says_which_it_cannot(folder: Path, config: Path) -> None:
    first = write_stream(folder / "first.jsonl", make_stream(700, seed=6))
    later = write_stream(folder / "later.jsonl", make_stream(200))
    fitted = replay(later, "--config", config, "--fit", first)
    assert "questions of slice short of shop prove no threshold" in fitted.err
    assert fitted.result["served_by_student"] > 50
    short = [line for line in fitted.trace if "short" in line.get("slices", ())]
    assert all(line["tier"] == "teacher" for line in short)
