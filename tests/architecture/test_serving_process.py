"""The serving process stays small: it loads no training code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.sources import ROOT

_LIST_LOADED = """
import sys
import {module}
heavy = ("torch", "sklearn", "scipy", "distill")
print(" ".join(name for name in heavy if name in sys.modules))
"""


def _loaded_by(module: str) -> list[str]:
    """Which of the heavy packages a fresh interpreter has loaded after importing ``module``."""
    command = [sys.executable, "-c", _LIST_LOADED.format(module=module)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("module", ["router.app", "router.cli"])
def test_serving_loads_no_training_code(module: str) -> None:
    if not (ROOT / module.replace(".", "/")).with_suffix(".py").exists():
        pytest.skip(f"{module} does not exist yet")
    assert _loaded_by(module) == []


@pytest.mark.parametrize("module", ["router.settings", "router.upstream", "router.record.store"])
def test_parts_of_serving_load_no_training_code(module: str) -> None:
    assert _loaded_by(module) == []


def test_training_code_would_be_seen() -> None:
    assert {"sklearn", "scipy"} <= set(_loaded_by("policies.fit.gate"))
