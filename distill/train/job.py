"""A training run as a process in the environment that has torch; this one needs none.

The process is ``python -m distill.train``. The job goes to its standard input, a line that says
what to do and then the examples, so that no copy of them is left on disk; on its standard output
come lines of JSON: steps, and in the end the adapter's folder or why there is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from distill.train.examples import Example, write_examples
from router.errors import TutelageError

_MODULE = "distill.train"
_ENDS_WITHIN_S = 20.0

Progress = Callable[[int, int, float], None]
"""Steps done, steps in all, loss."""


class TrainingFailed(TutelageError):
    """There is no adapter; the message says why and what to do."""


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
    folder = Path(job.folder)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "train.log"
    with log.open("wb") as errors:
        try:
            process = subprocess.Popen(
                [python, "-m", _MODULE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=_environment(),
                text=True,
                encoding="utf-8",
            )
        except OSError as error:
            raise TrainingFailed(
                f"{python} can't be run ({error.strerror}); name the Python of the environment "
                "that has tutelage[train] with --python."
            ) from error
        try:
            last = _talk(process, job, examples, progress)
            code = process.wait()
        finally:
            _end(process)
    if "adapter" in last:
        return Trained(
            adapter=Path(last["adapter"]), curve=Path(last["curve"]), manifest=last["manifest"]
        )
    raise TrainingFailed(last.get("error") or _explain(code, log))


def _talk(
    process: subprocess.Popen[str], job: Job, examples: Sequence[Example], progress: Progress
) -> dict[str, Any]:
    """The last line that the process said."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    # It may fail before it has read everything, and its lines must be read meanwhile.
    head = json.dumps(asdict(job)) + "\n"
    sender = threading.Thread(target=_send, args=(process.stdin, head + write_examples(examples)))
    sender.start()
    last: dict[str, Any] = {}
    for line in process.stdout:
        last = json.loads(line)
        if "step" in last:
            progress(last["step"], last["steps"], last["loss"])
    sender.join()
    return last


def _send(stdin: IO[str], text: str) -> None:
    try:
        with stdin:
            stdin.write(text)
    except BrokenPipeError:
        pass  # it ended; its exit status says why


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _explain(code: int, log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").strip().splitlines()
    said = lines[-1] if lines else f"exit status {code}"
    if "No module named" in said:
        return (
            f"The training environment lacks a part ({said}): install tutelage[train] there, and "
            "name its Python with --python."
        )
    return f"Training ended without an adapter: {said}; all it said is in {log}."


def _environment() -> dict[str, str]:
    """Of a clone, the code is found from wherever the command runs. What is installed is found by
    the other environment in its own way: these packages were made for this Python."""
    root = Path(__file__).parents[2]
    found = dict(os.environ)
    if root.name != "site-packages":
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), found.get("PYTHONPATH")]))
    return found
