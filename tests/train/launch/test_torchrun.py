"""Students that write, trained by jobs: one process, two that torchrun starts, and a kill."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from distill.launch.job import Job as Described
from distill.launch.job import Launcher
from distill.launch.process import ProcessLauncher, TorchrunLauncher
from distill.train.job import Job, Trained, run_job
from tests.train.recipes.tiny_base import copying, save_tiny

pytestmark = pytest.mark.train

OPTIONS = {"batch": 4, "epochs": 1, "checkpoint_steps": 2, "learning_rate": 0.01, "seed": 0}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_tiny(folder)
    return folder


class Killed(Exception):
    pass


def train(base: Path, folder: Path, launcher: Launcher, stop_at: int | None = None) -> Trained:
    job = Job(base=str(base), folder=str(folder), recipe="sequence", options=OPTIONS, threads=1)
    described = Described(workload="shop", dataset="d", recipe=OPTIONS, needs={}, threads=1)

    def progress(step: int, steps: int, loss: float) -> None:
        if step == stop_at:
            raise Killed

    return run_job(
        job,
        copying(22),
        described=described,
        launcher=launcher,
        python=sys.executable,
        progress=progress,
    )


def curve_of(trained: Trained) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in trained.curve.read_text().splitlines()]


def test_two_processes_learn_what_one_does_and_go_on_after_a_kill(
    base: Path, tmp_path: Path
) -> None:
    alone = train(base, tmp_path / "alone", ProcessLauncher())
    together = TorchrunLauncher(processes=2)
    with pytest.raises(Killed):
        train(base, tmp_path / "killed", together, stop_at=4)
    resumed = train(base, tmp_path / "killed", together)
    assert resumed.manifest["processes"] == 2
    assert "processes" not in alone.manifest
    one, two = curve_of(alone), curve_of(resumed)
    # Six steps of four examples with answers of one length, the last with two.
    assert [line["step"] for line in two] == [1, 2, 3, 4, 5, 6]
    for a, b in zip(one, two, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=0.01)
        assert b["tokens"] == a["tokens"]
    assert two[-1]["loss"] < two[0]["loss"]
