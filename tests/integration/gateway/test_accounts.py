"""The benchmark of the ledger at a size for tests: three books agree while workers are killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.long
def test_three_books_agree_while_workers_are_killed(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, "-m", "benchmarks.gateway.ledger", "--requests", "1500"]
    ended = subprocess.run(
        [*command, "--workers", "3", "--out", str(report)],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), **os.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads(report.read_text())
    assert found["exact"]
    assert found["verdict"]["unknown"] > 0
    assert found["settled"] >= found["received"] > 1000
