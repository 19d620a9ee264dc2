"""A job as a process of this machine, or several that torchrun starts."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from distill.environment import find_modules
from distill.launch.job import Call, Ended, LaunchFailed, Told

_ENDS_WITHIN_S = 20.0


@dataclass(frozen=True, kw_only=True)
class ProcessLauncher:
    """One process, ended with this one."""

    threads: int | None = None
    kind: str = "process"

    def run(self, call: Call, told: Told) -> Ended:
        """See ``Launcher``."""
        python = call.python or sys.executable
        return talk([python, "-m", call.module], call, told)


@dataclass(frozen=True, kw_only=True)
class TorchrunLauncher:
    """``processes`` on this machine share each step of a student that writes: every one takes its
    part of the examples, and their gradients are averaged. Any other job is one process."""

    processes: int
    threads: int | None = None
    kind: str = "torchrun"

    def run(self, call: Call, told: Told) -> Ended:
        """See ``Launcher``."""
        words = [call.python or sys.executable, "-m"]
        if call.parallel:
            words += ["torch.distributed.run", "--standalone"]
            words += ["--nproc-per-node", str(self.processes), "-m"]
        return talk([*words, call.module], call, told)


def talk(words: Sequence[str], call: Call, told: Told) -> Ended:
    """Start a command, hand it the job, and listen to its end. Raises LaunchFailed."""
    call.log.parent.mkdir(parents=True, exist_ok=True)
    with call.log.open("wb") as errors:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=find_modules(),
                text=True,
                encoding="utf-8",
                # A terminal's Ctrl-C is for this process, which ends the other.
                start_new_session=True,
            )
        except OSError as error:
            raise LaunchFailed(
                f"{words[0]} can't be run ({error.strerror}); name the Python of the environment "
                "that has tutelage[train], with --python or learning.train.python."
            ) from error
        try:
            last = _listen(process, call.text, told)
            return Ended(last=last, code=process.wait())
        finally:
            end(process)


def _listen(process: subprocess.Popen[str], text: str, told: Told) -> Mapping[str, Any]:
    """The last line that the process said."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("the process was started without pipes")
    # It may fail before it has read everything, and its lines must be read meanwhile.
    sender = threading.Thread(target=_send, args=(process.stdin, text))
    sender.start()
    last: Mapping[str, Any] = {}
    for line in process.stdout:
        last = json.loads(line)
        told(last)
    sender.join()
    return last


def _send(stdin: IO[str], text: str) -> None:
    with suppress(BrokenPipeError), stdin:  # it ended; its exit status says why
        stdin.write(text)


def end(process: subprocess.Popen[str]) -> None:
    """Ask it to end, and see to it."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
