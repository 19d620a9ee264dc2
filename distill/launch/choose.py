"""The configuration → its launcher."""

from __future__ import annotations

import shutil
from pathlib import Path

from distill.launch.command import CommandLauncher
from distill.launch.embedded import Fit, FitElsewhere, FitHere
from distill.launch.job import Launcher, LaunchFailed
from distill.launch.process import ProcessLauncher, TorchrunLauncher
from distill.launch.ray_cluster import RayLauncher, import_ray
from distill.train.talk import JOB, SAID
from router.settings.model import Settings
from router.students.encoder import Encoder


def make_launcher(settings: Settings) -> Launcher:
    """Raises LaunchFailed, one sentence, where what it needs isn't here."""
    chosen = settings.learning.launcher
    if chosen.kind == "torchrun" and chosen.processes is not None:
        return TorchrunLauncher(processes=chosen.processes, threads=chosen.threads)
    if chosen.kind == "ray":
        import_ray()
        return RayLauncher(address=chosen.address, threads=chosen.threads or 1)
    if chosen.kind == "command" and chosen.command is not None:
        if shutil.which(chosen.command[0]) is None:
            raise LaunchFailed(
                f"learning.launcher.command begins with {chosen.command[0]!r}, which isn't found "
                "here: install it or give its path."
            )
        folder = find_jobs(settings) if chosen.folder is None else Path(chosen.folder)
        return CommandLauncher(command=chosen.command, folder=folder, threads=chosen.threads or 1)
    return ProcessLauncher(threads=chosen.threads)


def make_fit(settings: Settings, encoder: Encoder) -> Fit:
    """How a cycle trains an embedded student: in this process, unless a cluster or a command is
    configured; torchrun has nothing to share there. Raises LaunchFailed."""
    launcher = make_launcher(settings)
    if launcher.kind in ("ray", "command"):
        return FitElsewhere(launcher=launcher, folder=find_jobs(settings), encoder=encoder)
    return FitHere(encoder=encoder, threads=launcher.threads)


def find_jobs(settings: Settings) -> Path:
    """Where jobs leave what they print."""
    return settings.store.beside("jobs").absolute()


def forget_jobs(settings: Settings) -> None:
    """Delete what jobs left, where that is: a killed one may have left examples."""
    chosen = settings.learning.launcher.folder
    for folder in {find_jobs(settings), *([] if chosen is None else [Path(chosen)])}:
        for name in (JOB, SAID):
            for path in folder.glob(f"*/*/{name}"):
                path.unlink(missing_ok=True)
