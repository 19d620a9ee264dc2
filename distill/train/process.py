"""A process in the environment that has torch; this one needs none.

What to do goes to its standard input, so that no copy of it is left on disk; on its standard output
come lines of JSON: steps, and in the end what it made or why there is nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from router.errors import TutelageError

_ENDS_WITHIN_S = 20.0

Progress = Callable[[int, int, float], None]
"""Steps done, steps in all, loss."""


class TrainingFailed(TutelageError):
    """Nothing was trained; the message says why and what to do."""


def converse(
    module: str, text: str, *, folder: Path, python: str, progress: Progress
) -> dict[str, Any]:
    """Run ``python -m module`` on ``text``; its last line.

    Whatever ends this process ends that. ``folder``: where what it said beside is kept, as
    ``train.log``. Raises TrainingFailed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "train.log"
    with log.open("wb") as errors:
        try:
            process = subprocess.Popen(
                [python, "-m", module],
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
            last = _talk(process, text, progress)
            code = process.wait()
        finally:
            _end(process)
    if code == 0 and "error" not in last:
        return last
    raise TrainingFailed(last.get("error") or _explain(code, log))


def _talk(process: subprocess.Popen[str], text: str, progress: Progress) -> dict[str, Any]:
    """The last line that the process said."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    # It may fail before it has read everything, and its lines must be read meanwhile.
    sender = threading.Thread(target=_send, args=(process.stdin, text))
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
    return f"Training ended without a result: {said}; all it said is in {log}."


def _environment() -> dict[str, str]:
    """Of a clone, the code is found from wherever the command runs. What is installed is found by
    the other environment in its own way: these packages were made for this Python."""
    root = Path(__file__).parents[2]
    found = dict(os.environ)
    if root.name != "site-packages":
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), found.get("PYTHONPATH")]))
    return found
