"""The tuning of an encoder, told by standard input; see ``distill.train.encoder.job``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

import torch

from distill.train.encoder.base import open_encoder
from distill.train.encoder.run import tune_encoder
from distill.train.encoder.tuning import TuningError, make_tuning, read_rows
from distill.train.lock import Busy, lock_folder


def main() -> int:
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints, this line of talk is ours
    try:
        _tell(out, _tune(json.loads(sys.stdin.readline()), out))
    except (TuningError, FloatingPointError, Busy) as error:
        _tell(out, {"error": str(error)})
        return 1
    return 0


def _tune(job: dict[str, Any], out: TextIO) -> dict[str, Any]:
    rows = read_rows(sys.stdin)
    folder = Path(job["folder"])
    lock = lock_folder(folder)
    try:
        tuning = make_tuning(**job["options"])
        if job["threads"] is not None:
            torch.set_num_threads(job["threads"])

        def progress(step: int, steps: int, loss: float) -> None:
            _tell(out, {"step": step, "steps": steps, "loss": loss})

        base = open_encoder(job["base"], pin=job["pin"])
        tuned = tune_encoder(tuning, rows, job["answers"], base, folder, progress)
    finally:
        lock.close()
    return {
        "encoder": str(tuned.exported.path),
        "digest": tuned.exported.digest,
        "cosine": tuned.exported.cosine,
        "curve": str(tuned.curve),
        "manifest": tuned.manifest,
    }


def _tell(out: TextIO, said: dict[str, Any]) -> None:
    print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(main())
