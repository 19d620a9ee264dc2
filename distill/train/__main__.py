"""A training run, told by standard input; see ``distill.train.job``. Needs the extra [train]."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TextIO

import torch

from distill.train.examples import ExamplesError, read_examples
from distill.train.lock import Busy, lock_folder
from distill.train.losses.spec import LossSpecError
from distill.train.recipes.adapter import AdapterError
from distill.train.recipes.base import BaseError, open_base
from distill.train.recipes.encode import EncodingError
from distill.train.recipes.preflight import TrainingRefused
from distill.train.recipes.recipe import RecipeError, make_recipe
from distill.train.recipes.run import train_student

_TOLD = (
    AdapterError,
    BaseError,
    EncodingError,
    ExamplesError,
    FloatingPointError,
    LossSpecError,
    RecipeError,
    TrainingRefused,
)
"""What the user can do something about: told in a sentence."""

_STUDENT = "student"


def main() -> int:
    out = sys.stdout
    sys.stdout = sys.stderr  # whatever a library prints, this line of talk is ours
    try:
        _tell(out, _train(json.loads(sys.stdin.readline()), out))
    except (*_TOLD, Busy) as error:
        _tell(out, {"error": str(error)})
        return 1
    return 0


def _train(job: dict[str, Any], out: TextIO) -> dict[str, Any]:
    examples = read_examples(sys.stdin, "examples")
    folder = Path(job["folder"])
    lock = lock_folder(folder)
    try:
        recipe = make_recipe(job["recipe"], **job["options"])
        if job["threads"] is not None:
            torch.set_num_threads(job["threads"])

        def progress(step: int, steps: int, loss: float, seconds: float) -> None:
            _tell(out, {"step": step, "steps": steps, "loss": loss, "seconds": seconds})

        adapter = train_student(
            recipe,
            examples,
            open_base(job["base"], pin=job["pin"]),
            folder,
            student=_STUDENT,
            start=None if job["start"] is None else Path(job["start"]),
            progress=progress,
        )
    finally:
        lock.close()
    return {
        "adapter": str(adapter.folder),
        "curve": str(adapter.curve),
        "manifest": dict(adapter.manifest),
    }


def _tell(out: TextIO, said: dict[str, Any]) -> None:
    print(json.dumps(said), file=out, flush=True)


if __name__ == "__main__":
    sys.exit(main())
