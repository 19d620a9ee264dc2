"""The environment that trains, for tests that run outside it."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).parents[1]


@cache
def training_python() -> Path:
    """Its interpreter; built where it isn't there yet, which takes minutes."""
    built = subprocess.run(
        ["sh", "tests/setup-train.sh"], cwd=_ROOT, capture_output=True, text=True, check=True
    )
    return Path(built.stdout.strip()) / "bin/python"


def run_there(code: str) -> str:
    """What a few lines of Python print there, with the project at hand."""
    done = subprocess.run(
        [training_python(), "-c", code], cwd=_ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_losses(curve: Path) -> list[float]:
    """A training's losses, step by step."""
    return [json.loads(line)["loss"] for line in curve.read_text().splitlines()]
