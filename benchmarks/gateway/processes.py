"""The processes that are measured: a gateway as its users start it, and a stand-in upstream."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 60.0
_POLL_S = 0.005
_Result = TypeVar("_Result")

COMMAND = (sys.executable, "-c", "import sys; from router.cli import main; sys.exit(main())")
"""``tutelage``, of the packages that this Python would import."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A process that listens; ``url``: without a path; ``ready_s``: from its start until it
    answered ``/health/ready``, None where that was not awaited."""

    url: str
    process: psutil.Process
    ready_s: float | None = None

    @property
    def rss_mb(self) -> float:
        """Resident memory, in units of 10^6 bytes."""
        return float(self.process.memory_info().rss) / 1e6

    def cpu_s(self) -> float:
        """Seconds of a processor that it has used so far."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def mapped_files(self) -> list[str]:
        """The compiled modules and libraries in its memory; empty where the system won't say."""
        try:
            return [mapped.path for mapped in self.process.memory_maps()]
        except (AttributeError, psutil.AccessDenied):
            return []


def workers_of(server: psutil.Process) -> list[psutil.Process]:
    """The workers of a gateway with several, without those that have just ended."""
    found = []
    for child in server.children():
        try:
            if "spawn_main" in " ".join(child.cmdline()):  # multiprocessing's word for its children
                found.append(child)
        except psutil.Error:
            continue
    return found


def write_config(folder: Path, upstream: str, **more: Any) -> Path:
    """A configuration with one teacher at ``upstream`` and a store of its own in ``folder``."""
    document = {
        "server": {"port": 0},
        "store": {"url": f"sqlite:///{folder}/bench.db"},
        "models": {
            "teacher": {
                "upstream": f"{upstream}/v1",
                "model": "stand-in",
                "price": {"input": 2.5, "cached_input": 1.25, "output": 10},
                "distillation": "allowed",
            }
        },
        **more,
    }
    path = folder / "tutelage.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


@contextmanager
def run_gateway(
    config: Path,
    *,
    sources: Path | None = None,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """``tutelage serve`` until the block ends.

    ``sources``: a folder with another version of the packages, to serve from that one;
    ``options``: further ones of the command; ``environment``: further variables, such as keys.
    """
    more = dict(environment or {})
    if sources is not None:
        more["PYTHONPATH"] = str(sources)
    start_s = time.perf_counter()
    command = [*COMMAND, "serve", "--config", str(config), *options]
    with _run(command, more, sources or _ROOT) as server:
        _await_ready(server)
        ready_s = time.perf_counter() - start_s
        yield Server(url=server.url, process=server.process, ready_s=ready_s)


@contextmanager
def run_upstream(
    module: str = "benchmarks.gateway.upstream", *, arguments: Sequence[str] = ()
) -> Iterator[Server]:
    """A stand-in upstream until the block ends."""
    with _run([sys.executable, "-m", module, *arguments], {}) as server:
        yield server


def bind_apart(measured: Sequence[Server], others: Sequence[Server]) -> bool:
    """One core for the servers that are measured, the next for the others and this process.

    Returns whether it was done: not where there is one core only, or the system can't.
    """
    if (os.cpu_count() or 1) < 2 or not hasattr(psutil.Process, "cpu_affinity"):
        return False
    for server in measured:
        server.process.cpu_affinity([0])
    for process in (psutil.Process(), *(server.process for server in others)):
        process.cpu_affinity([1])
    return True


@contextmanager
def run_redis(folder: Path) -> Iterator[str]:
    """A Redis of its own on a free port until the block ends; its URL."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("No redis-server: install it (Debian: apt-get install redis-server).")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [program, "--port", str(port), "--dir", str(folder), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as popen:
        try:
            yield f"redis://127.0.0.1:{port}"
        finally:
            popen.terminate()


@contextmanager
def _run(
    command: list[str], environment: Mapping[str, str], folder: Path = _ROOT
) -> Iterator[Server]:
    """Start ``command``, whose first line of output ends with its address; stop it afterwards."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**_environment(), **environment},
        stdout=subprocess.PIPE,
        text=True,
    ) as popen:
        try:
            if popen.stdout is None:
                raise RuntimeError("the process was started without a pipe")
            words = popen.stdout.readline().split()
            if not words:
                raise SystemExit(f"{Path(command[0]).name} ended before it listened.")
            yield Server(url=words[-1], process=psutil.Process(popen.pid))
        finally:
            popen.terminate()
            try:
                popen.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                popen.kill()


def _environment() -> dict[str, str]:
    """Without an installed package of the same name in the way of this tree's."""
    return {"PYTHONPATH": str(_ROOT), **os.environ}


def _await_ready(server: Server) -> None:
    end_s = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < end_s:
        try:
            with urllib.request.urlopen(f"{server.url}/health/ready", timeout=_PATIENCE_S):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(_POLL_S)
    raise SystemExit("The gateway was not ready in time.")


def read_url(url: str, headers: Mapping[str, str] | None = None) -> str:
    """The body of a page, as text."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    with urllib.request.urlopen(request, timeout=_PATIENCE_S) as response:
        return str(response.read().decode())


def run_loop(main: Coroutine[Any, Any, _Result]) -> _Result:
    """Run to the end in the fastest event loop at hand."""
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop

    return uvloop.run(main)


def write_report(path: Path | None, report: Mapping[str, Any]) -> None:
    """Write ``report`` as JSON, where a path was given."""
    if path is not None:
        path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        print(f"written to {path}")
