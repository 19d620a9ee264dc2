"""``tutelage demo`` as a whole: real processes, the learning loop, traffic, the result."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import psutil
import pytest

TUTELAGE = Path(sys.executable).parent / "tutelage"


def _demo(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [TUTELAGE, "demo", *words], capture_output=True, text=True, timeout=500, check=False
    )


def test_bad_usage() -> None:
    for words in (["--promise", "1.5"], ["--rate", "0"], ["--limit", "none"], ["--port", "-1"]):
        ended = _demo(*words)
        assert (ended.returncode, ended.stdout) == (2, "")
        assert "usage: tutelage demo" in ended.stderr


def test_what_cannot_start_says_why(tmp_path: Path) -> None:
    for words, told in (
        (["--out", tmp_path / "none" / "demo.json"], "There is no folder"),
        (["--stream", tmp_path / "none.jsonl"], "does not exist"),
        (["--config", tmp_path / "none.yaml"], "does not exist"),
    ):
        ended = _demo("--headless", *words)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith("tutelage: ")
        assert told in ended.stderr


@pytest.mark.long
def test_the_student_takes_over_under_traffic(tmp_path: Path) -> None:
    out = tmp_path / "demo.json"
    ended = _demo("--headless", "--limit", "1000", "--out", out)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(out.read_text())
    assert (result["n"], result["failed"], result["streamed"]) == (1000, 0, 100)
    assert result["asked"] + result["served_by_student"] == 1000
    assert result["promise_held"]
    assert result["promoted_under_traffic"] >= 2
    assert result["saving"] > 0.05
    assert result["end_cost_usd"] < result["start_cost_usd"]
    assert "written for the demonstration" in ended.stderr
    assert ended.stderr.count(" of 1,000  lately asked") == 10
    assert "95.0% at 95% confidence: held" in ended.stdout


@pytest.mark.long
def test_a_stream_and_a_configuration_of_ones_own(tmp_path: Path) -> None:
    stream, config = tmp_path / "mine.jsonl", tmp_path / "mine.yaml"
    rows = [
        {
            "id": f"q{n}",
            "request": {"messages": [{"role": "user", "content": f"Is {n} even?"}]},
            "teacher": {"content": "no" if n % 2 else "yes"},
        }
        for n in range(60)
    ]
    stream.write_text("\n".join(map(json.dumps, rows)))
    config.write_text(
        "models: {teacher: {upstream: 'https://api.example.com/v1', model: big, "
        "price: {input: 4, output: 8}, distillation: allowed}}\n"
        "workloads: [{name: parity, match: '*', promise: {agreement: 0.9}}]\n"
    )
    ended = _demo("--headless", "--json", "--stream", stream, "--config", config, "--rate", "50")
    assert ended.returncode == 0, ended.stderr
    result = json.loads(ended.stdout)
    assert (result["stream"], result["n"], result["failed"]) == ("mine.jsonl", 60, 0)
    assert (result["promise"], result["saving"]) == (0.9, 0.0)
    # Too few to learn from. Each query has 10 or 11 characters: two tokens; its answer: one.
    assert result["cost_usd"] == 60 * (2 * 4 + 1 * 8) / 1e6
    assert "four characters a token" in ended.stderr
    assert "no latencies" in ended.stderr


@pytest.mark.long
@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_stopped_early_it_ends_its_children(sent: signal.Signals) -> None:
    # As a script starts it in the background: with SIGINT ignored.
    words = ["sh", "-c", 'trap "" INT; exec "$0" demo', TUTELAGE]
    process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=PIPE)
    assert process.stderr is not None
    told = b""
    async with asyncio.timeout(120):
        while b" of 3,030  lately asked" not in told:
            told += await process.stderr.readline()
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == 3
        process.send_signal(sent)
        _, rest = await process.communicate()
    assert process.returncode == 1
    assert rest.decode().splitlines()[-1] == "tutelage: The demo was stopped before its end."
    assert not [child for child in children if child.is_running()]
