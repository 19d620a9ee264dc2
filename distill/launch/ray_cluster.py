"""A job as a task of a Ray cluster: one on this machine, made for it, or one that is there.

The task starts the job as a process of its own, with Ray's worker as its launcher: so it has the
same interpreter settings, libraries and threads as anywhere else, and none of what Ray loads. Ray
starts a task anew whose worker was lost.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.launch.follow import Follower
from distill.launch.job import Call, Ended, LaunchFailed, Told
from distill.launch.process import talk
from distill.train.talk import SAID

_LOOK_EVERY_S = 0.5
_TRIES_AGAIN = 3


@dataclass(frozen=True, kw_only=True)
class RayLauncher:
    """``address``: of the cluster as Ray reads it; None makes one on this machine, which ends with
    the job. ``threads``: of a job, and the processors that it asks the cluster for."""

    address: str | None
    threads: int
    kind: str = "ray"

    def run(self, call: Call, told: Told) -> Ended:
        """See ``Launcher``. Of a job that goes on from checkpoints the folder must be one that the
        cluster's machines share: its progress is followed there."""
        ray = import_ray()
        call.log.parent.mkdir(parents=True, exist_ok=True)
        follower = Follower(call.log.parent / SAID, told)
        follower.path.unlink(missing_ok=True)
        with _connected(ray, self.address, self.threads):
            work = ray.remote(num_cpus=self.threads, max_retries=_TRIES_AGAIN)(_work)
            task = work.remote(call, str(follower.path) if call.parallel else None)
            try:
                while not ray.wait([task], timeout=_LOOK_EVERY_S)[0]:
                    follower.look()
                ended: Mapping[str, Any] = ray.get(task)
            except ray.exceptions.RayError as error:
                raise LaunchFailed(f"Ray lost the job: {_first_line(error)}") from error
            except BaseException:
                ray.cancel(task, force=True)
                raise
        call.log.write_text(ended["log"], "utf-8")
        if ended["refused"]:
            raise LaunchFailed(ended["refused"])
        if ended["last"]:
            told(ended["last"])
        return Ended(last=ended["last"], code=ended["code"])


def import_ray() -> Any:
    """The package, loaded only here. Raises LaunchFailed where it isn't installed."""
    if importlib.util.find_spec("ray") is None:
        raise LaunchFailed(
            "learning.launcher is ray, which isn't installed here: pip install 'tutelage[ray]'."
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a job is nobody else's business
    return importlib.import_module("ray")


def _work(call: Call, said: str | None) -> Mapping[str, Any]:
    """On a machine of the cluster: do the job and return how it ended. Plain data, since what goes
    back is read by another process. ``said``: where to write down what the job says."""

    def note(line: Mapping[str, Any]) -> None:
        if said is not None:
            with Path(said).open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(line)) + "\n")

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "job.log"
        refused, ended = "", Ended(last={}, code=1)
        try:
            words = [call.python or sys.executable, "-m", call.module]
            ended = talk(words, replace(call, log=log), note)
        except LaunchFailed as error:
            refused = str(error)
        text = log.read_text("utf-8", errors="replace") if log.exists() else ""
    return {"last": dict(ended.last), "code": ended.code, "log": text, "refused": refused}


@contextmanager
def _connected(ray: Any, address: str | None, threads: int) -> Iterator[None]:
    """With this process as a driver of the cluster."""
    options: dict[str, Any] = {"logging_level": "error", "log_to_driver": False}
    root = Path(__file__).parents[2]
    if root.name != "site-packages":
        options["runtime_env"] = {"env_vars": {"PYTHONPATH": str(root)}}
    if address is None:
        options |= {
            "address": "local",
            "num_cpus": max(threads, os.cpu_count() or 1),
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
            "object_store_memory": 200 * 1024 * 1024,
        }
    else:
        options["address"] = address
    try:
        ray.init(**options)
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise LaunchFailed(f"No Ray cluster {where}: {_first_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
