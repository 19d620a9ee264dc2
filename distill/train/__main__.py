"""A training run; see ``distill.train.job``. Needs the extra [train].

torchrun may start several of it: the first reads the job, tells the others, speaks and writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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
from distill.train.recipes.scorer import open_scorer
from distill.train.recipes.teachers import TeacherError
from distill.train.recipes.team import Team, join_team
from distill.train.talk import Talk, open_talk

_TOLD = (
    AdapterError,
    BaseError,
    EncodingError,
    ExamplesError,
    FloatingPointError,
    LossSpecError,
    RecipeError,
    TeacherError,
    TrainingRefused,
)
"""What the user can do something about: told in a sentence."""

_PASSING = (Busy, TeacherError)
"""Of these, what may be over when it is tried again."""

_STUDENT = "student"


def main() -> int:
    team = join_team()
    with open_talk(sys.argv[1:] if team.leads else []) as talk:
        try:
            made = _train(team, talk)
            if team.leads:
                talk.say(made)
        except (*_TOLD, Busy) as error:
            if team.leads:
                talk.say({"error": str(error), "refused": not isinstance(error, _PASSING)})
            else:
                sys.stderr.write(f"{error}\n")  # the log's: it may be this process's alone
            return 1
        finally:
            team.leave()
    return 0


def _train(team: Team, talk: Talk) -> dict[str, Any]:
    job, *lines = team.tell(talk.source.read().splitlines() if team.leads else None)
    job = json.loads(job)
    examples = read_examples(lines, "examples")
    folder = Path(job["folder"])
    lock = lock_folder(folder) if team.leads else None
    try:
        recipe = make_recipe(job["recipe"], **job["options"])
        if job["threads"] is not None:
            torch.set_num_threads(job["threads"])

        def progress(step: int, steps: int, loss: float, seconds: float) -> None:
            talk.say({"step": step, "steps": steps, "loss": loss, "seconds": seconds})

        base = open_base(job["base"], pin=job["pin"])
        adapter = train_student(
            recipe,
            examples,
            base,
            folder,
            student=_STUDENT,
            start=None if job["start"] is None else Path(job["start"]),
            teacher=None if job["scorer"] is None else open_scorer(job["scorer"], base),
            progress=progress if team.leads else None,
            team=team,
        )
    finally:
        if lock is not None:
            lock.close()
    return {
        "adapter": str(adapter.folder),
        "curve": str(adapter.curve),
        "manifest": dict(adapter.manifest),
    }


if __name__ == "__main__":
    sys.exit(main())
