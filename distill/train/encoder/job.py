"""The tuning of an encoder, in the environment that has torch; this one needs none.

It is ``python -m distill.train.encoder``, wherever a launcher runs that. The job is a line that
says what to do and then the rows; its last line names the file that serves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from distill.launch.job import Call, Job, Launcher
from distill.train.encoder.tuning import BASE, LabelledText, digest_rows, write_rows
from distill.train.job import Progress, TrainingFailed, explain_failure

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
    launcher: Launcher,
    python: str,
    progress: Progress,
) -> TunedFile:
    """Tune where ``launcher`` runs jobs; ended in any way, it goes on from its last checkpoint when
    called again. ``answers``: their texts, by label. Raises TrainingFailed, or LaunchFailed where
    it couldn't be launched."""
    head = {**asdict(job), "answers": list(answers)}
    call = Call(
        job=Job(
            workload=Path(job.folder).name,
            dataset=digest_rows(rows, answers),
            recipe={"name": "encoder", **job.options},
            needs={"base": job.pin or job.base},
            threads=job.threads,
        ),
        module=_MODULE,
        text=json.dumps(head) + "\n" + write_rows(rows),
        log=Path(job.folder) / "train.log",
        python=python,
    )
    call.log.parent.mkdir(parents=True, exist_ok=True)

    def told(said: Mapping[str, Any]) -> None:
        if "step" in said:
            progress(said["step"], said["steps"], said["loss"])

    ended = launcher.run(call, told)
    last = ended.last
    if "encoder" not in last:
        raise TrainingFailed(last.get("error") or explain_failure(ended, call.log))
    return TunedFile(
        path=Path(last["encoder"]),
        digest=last["digest"],
        cosine=last["cosine"],
        curve=Path(last["curve"]),
        manifest=last["manifest"],
    )
