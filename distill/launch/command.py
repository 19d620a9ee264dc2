"""A job by a command that the operator writes: ``kubectl``, ``sky``, ``srun``, ``ssh``.

The job lies in a folder that both sides reach; the command must see to it that somewhere
``python -m MODULE FOLDER`` runs to its end, and end with its exit status. No shell reads it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distill.environment import find_modules
from distill.launch.follow import Follower
from distill.launch.job import Call, Ended, LaunchFailed, Told
from distill.launch.process import end
from distill.train.talk import JOB, SAID
from router.settings.launcher import PLACEHOLDER

_LOOK_EVERY_S = 0.2
_LOG = "command.log"


@dataclass(frozen=True, kw_only=True)
class CommandLauncher:
    """``command``: its words, with placeholders; ``folder``: where jobs are put."""

    command: Sequence[str]
    folder: Path
    threads: int
    kind: str = "command"

    def run(self, call: Call, told: Told) -> Ended:
        """See ``Launcher``. A job whose result is there already isn't run again: a cycle that was
        killed meanwhile takes it up."""
        slug = re.sub(r"[^A-Za-z0-9.-]+", "-", call.job.workload).strip("-.") or "workload"
        folder = self.folder / slug / call.job.name
        _clear_others(folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        follower = Follower(folder / SAID, told)
        follower.look()
        if "result" in follower.last:
            return Ended(last=follower.last, code=0)
        follower.forget()
        try:
            _write_private(folder / JOB, call.text)
            code = self._execute(self._fill_in(call, folder, slug), folder, follower)
        finally:
            (folder / JOB).unlink(missing_ok=True)  # no copy of the examples outlasts the job
        follower.look()
        said = (folder / _LOG).read_text("utf-8", errors="replace")
        call.log.parent.mkdir(parents=True, exist_ok=True)
        call.log.write_text(said, "utf-8")
        if not follower.last and code == 0:
            raise LaunchFailed(
                f"{self.command[0]} ended well, but the job left nothing in {folder}: the command "
                "must wait for the job, which must reach that folder."
            )
        return Ended(last=follower.last, code=code)

    def _fill_in(self, call: Call, folder: Path, slug: str) -> list[str]:
        values = {
            "job": call.job.name,
            "workload": slug,
            "folder": str(folder.absolute()),
            "module": call.module,
            "python": call.python or "python3",
            "threads": str(self.threads),
        }
        return [PLACEHOLDER.sub(lambda found: values[found[1]], word) for word in self.command]

    def _execute(self, words: Sequence[str], folder: Path, follower: Follower) -> int:
        """Its exit status. Whatever ends this ends the command; what that started elsewhere may go
        on, and is found by the next run of the same job."""
        with (folder / _LOG).open("wb") as log:
            try:
                process = subprocess.Popen(
                    words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=find_modules(),
                    text=True,
                )
            except OSError as error:
                raise LaunchFailed(f"{words[0]} can't be run: {error.strerror}.") from error
            try:
                while process.poll() is None:
                    follower.look()
                    time.sleep(_LOOK_EVERY_S)
            finally:
                end(process)
        return process.returncode


def _clear_others(folder: Path) -> None:
    """Only one job of a workload is under way, so whatever else lies there was left behind."""
    if folder.parent.is_dir():
        for other in folder.parent.iterdir():
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)


def _write_private(path: Path, text: str) -> None:
    draft = path.with_suffix(".new")
    draft.touch(mode=0o600)
    draft.write_text(text, "utf-8")
    draft.replace(path)
