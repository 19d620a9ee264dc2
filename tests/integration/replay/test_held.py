"""A small piece of the matrix of promises, on recorded streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def held(data: str, out: Path, *words: str) -> str:
    command = [sys.executable, "-m", "benchmarks.promise.held", "--data", data, "--out", str(out)]
    return subprocess.run(
        [*command, *words], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.long
def test_a_promise_is_held_on_a_stream_that_shifts(tmp_path: Path) -> None:
    data = os.environ.get("TUTELAGE_DATA")
    if data is None:
        pytest.skip("set TUTELAGE_DATA to a folder that has recorded streams in streams/")
    out = tmp_path / "held.jsonl"
    chosen = "--streams banking77-gpt4 --promises 0.9 --seeds 0 --limit 900 --orders spliced"
    held(data, out, *chosen.split(), "--kinds", "certificate")
    said = held(data, out, *chosen.split())
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["kind"] for row in rows] == [
        "certificate",
        "guarantee",
    ]  # the first wasn't repeated
    assert all(row["recomputed"] and row["promise_held"] for row in rows)
    assert not any(row["contradicted"] for row in rows)
    assert rows[0]["asked_rate"] < 0.99
    assert rows[1]["below_from"] is None
    assert "certificate 0.9: held 1 of 1" in said
