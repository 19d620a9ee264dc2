"""A training run as a process in the environment that has torch; this one needs none.

The process is ``python -m distill.train``. To its standard input goes a line that says what to do,
and then the examples; its last line names the adapter's folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distill.train.examples import Example, write_examples
from distill.train.process import Progress, converse

_MODULE = "distill.train"


@dataclass(frozen=True, kw_only=True)
class Job:
    """``base``: a folder, a file or an id of a hub; ``pin``: how the digest of its weights must
    start; ``folder``: of checkpoints, curves and adapters; ``recipe``, ``options``: as
    ``make_recipe`` takes them; ``start``: the adapter to continue; ``threads``: None for torch's
    own choice."""

    base: str
    folder: str
    recipe: str
    options: Mapping[str, float | int] = field(default_factory=dict)
    pin: str | None = None
    start: str | None = None
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """``adapter``: a folder in peft's format; ``curve``: its losses, a JSON line a step;
    ``manifest``: what the run was made of."""

    adapter: Path
    curve: Path
    manifest: Mapping[str, Any]


def run_job(job: Job, examples: Sequence[Example], *, python: str, progress: Progress) -> Trained:
    """Train in a process of its own; whatever ends this one ends that, and it goes on from its
    last checkpoint when called again. Raises TrainingFailed."""
    text = json.dumps(asdict(job)) + "\n" + write_examples(examples)
    last = converse(_MODULE, text, folder=Path(job.folder), python=python, progress=progress)
    return Trained(
        adapter=Path(last["adapter"]), curve=Path(last["curve"]), manifest=last["manifest"]
    )
