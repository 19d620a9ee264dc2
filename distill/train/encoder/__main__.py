"""The tuning of an encoder; see ``distill.train.encoder.job``. Needs the extra [train]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from distill.train.encoder.base import open_encoder
from distill.train.encoder.run import tune_encoder
from distill.train.encoder.tuning import TuningError, make_tuning, read_rows
from distill.train.lock import Busy, lock_folder
from distill.train.talk import Talk, open_talk


def main() -> int:
    with open_talk(sys.argv[1:]) as talk:
        try:
            talk.say(_tune(talk))
        except (TuningError, FloatingPointError, Busy) as error:
            talk.say({"error": str(error)})
            return 1
    return 0


def _tune(talk: Talk) -> dict[str, Any]:
    job = json.loads(talk.source.readline())
    rows = read_rows(talk.source)
    folder = Path(job["folder"])
    lock = lock_folder(folder)
    try:
        tuning = make_tuning(**job["options"])
        if job["threads"] is not None:
            torch.set_num_threads(job["threads"])

        def progress(step: int, steps: int, loss: float) -> None:
            talk.say({"step": step, "steps": steps, "loss": loss})

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


if __name__ == "__main__":
    sys.exit(main())
