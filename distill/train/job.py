"""A training run of a student that writes, in the environment that has torch; this one needs none.

It is ``python -m distill.train``, wherever a launcher runs that. The job is a line that says what
to do and then the examples; it answers in lines of JSON: steps, and in the end the adapter's folder
or why there is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distill.launch.job import Call, Ended, Launcher, explain
from distill.launch.job import Job as Described
from distill.train.examples import Example, write_examples
from router.errors import TutelageError
from router.settings.model import Settings

_MODULE = "distill.train"

Progress = Callable[[int, int, float], None]
"""Steps done, steps in all, loss."""


class TrainingFailed(TutelageError):
    """Nothing was trained; the message says why and what to do."""


def name_recipe(said: str) -> str:
    """As ``RECIPES`` calls one that people write with a hyphen."""
    return said.replace("-", "_")


def find_here(said: str) -> str:
    """What is on this disk is meant from here, wherever the process runs: weights, a Python."""
    place = Path(said).expanduser()
    return str(place.absolute()) if place.exists() else said


def find_training(settings: Settings, workload: str) -> Path:
    """Where a workload's checkpoints, curves and adapters lie."""
    return settings.store.beside("training").absolute() / re.sub(r"[^\w.-]+", "_", workload)


class NotTrainable(TrainingFailed):
    """What was given can't be trained: to try the same again won't help."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """``base``: a folder, a file or an id of a hub; ``pin``: how the digest of its weights must
    start; ``folder``: of checkpoints, curves and adapters; ``recipe``, ``options``: as
    ``make_recipe`` takes them; ``start``: the adapter to continue; ``threads``: None for torch's
    own choice; ``scorer``: the teacher that scores, as ``open_scorer`` takes it, with its
    configured ``name``; or None."""

    base: str
    folder: str
    recipe: str
    options: Mapping[str, float | int] = field(default_factory=dict)
    pin: str | None = None
    start: str | None = None
    threads: int | None = None
    scorer: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """``adapter``: a folder in peft's format; ``curve``: its losses, a JSON line a step;
    ``manifest``: what the run was made of."""

    adapter: Path
    curve: Path
    manifest: Mapping[str, Any]


def run_job(
    job: Job,
    examples: Sequence[Example],
    *,
    described: Described,
    launcher: Launcher,
    python: str,
    progress: Progress,
    check: Callable[[], None] = lambda: None,
) -> Trained:
    """Train where ``launcher`` runs jobs; ended in any way, it goes on from its last checkpoint
    when called again. ``described``: what the launcher is to call it; ``check``: called once in a
    while, what it raises ends the job. Raises TrainingFailed, or LaunchFailed where it couldn't be
    launched."""
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    call = Call(
        job=described,
        module=_MODULE,
        text=json.dumps(asdict(job)) + "\n" + write_examples(examples),
        log=folder / "train.log",
        python=python,
        parallel=True,
    )

    def told(said: Mapping[str, Any]) -> None:
        check()
        if "step" in said:
            progress(said["step"], said["steps"], said["loss"])

    ended = launcher.run(call, told)
    last = ended.last
    if "adapter" in last:
        return Trained(
            adapter=Path(last["adapter"]), curve=Path(last["curve"]), manifest=last["manifest"]
        )
    failure = NotTrainable if last.get("refused") else TrainingFailed
    raise failure(last.get("error") or explain_failure(ended, call.log))


def explain_failure(ended: Ended, log: Path) -> str:
    """Why a training ended without a result."""
    said = explain(ended, log)
    if "No module named" in said:
        return (
            f"The training environment lacks a part: install tutelage[train] there, and name its "
            f"Python with --python. {said}"
        )
    return said
