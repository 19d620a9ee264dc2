"""The tuning of an encoder as a process in the environment that has torch; this one needs none.

The process is ``python -m distill.train.encoder``. To its standard input goes a line that says what
to do, and then the rows; its last line names the file that serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distill.train.encoder.tuning import BASE, LabelledText, write_rows
from distill.train.process import Progress, converse

_MODULE = "distill.train.encoder"


@dataclass(frozen=True, kw_only=True)
class TuningJob:
    """``folder``: of checkpoints, curves and encoders; ``base``: a folder, a package or an id of a
    hub; ``pin``: how its digest must start; ``options``: as ``make_tuning`` takes them;
    ``threads``: None for torch's own choice."""

    folder: str
    base: str = BASE
    pin: str | None = None
    options: Mapping[str, float | int] = field(default_factory=dict)
    threads: int | None = None


@dataclass(frozen=True, kw_only=True)
class TunedFile:
    """``path``: the int8 ONNX file, ``digest`` its sha256; ``cosine``: mean between its vectors
    and those of torch; ``curve``: the losses, a JSON line a step; ``manifest``: what the run was
    made of."""

    path: Path
    digest: str
    cosine: float
    curve: Path
    manifest: Mapping[str, Any]


def run_tuning(
    job: TuningJob,
    rows: Sequence[LabelledText],
    answers: Sequence[str],
    *,
    python: str,
    progress: Progress,
) -> TunedFile:
    """Tune in a process of its own; whatever ends this one ends that, and it goes on from its last
    checkpoint when called again. ``answers``: their texts, by label. Raises TrainingFailed."""
    head = {**asdict(job), "answers": list(answers)}
    text = json.dumps(head) + "\n" + write_rows(rows)
    last = converse(_MODULE, text, folder=Path(job.folder), python=python, progress=progress)
    return TunedFile(
        path=Path(last["encoder"]),
        digest=last["digest"],
        cosine=last["cosine"],
        curve=Path(last["curve"]),
        manifest=last["manifest"],
    )
