"""LiteLLM's proxy, from the package index, in front of the same stand-in upstream.

It is installed into an environment of its own, which is kept, and run as its documentation says:
one worker, no database, its logging at "error".
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import yaml

from benchmarks.gateway.processes import Server
from benchmarks.installed import UnavailableError, cache_folder, install

PACKAGE = "litellm[proxy]==1.91.1"
_PATIENCE_S = 120.0


@contextmanager
def run_litellm(folder: Path, upstream: str) -> Iterator[Server]:
    """The proxy until the block ends; ``folder``: for its configuration and its words."""
    try:
        python = install(PACKAGE, cache_folder() / PACKAGE.replace("[proxy]==", "-"))
    except UnavailableError as error:
        raise SystemExit(str(error)) from None
    command, port = python.with_name("litellm"), _free_port()
    parameters = {"model": "openai/stand-in", "api_base": f"{upstream}/v1", "api_key": "none"}
    config = folder / "litellm.yaml"
    config.write_text(
        yaml.safe_dump({"model_list": [{"model_name": "auto", "litellm_params": parameters}]})
    )
    arguments = ["--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    start_s = time.perf_counter()
    with (
        (folder / "litellm.log").open("w") as log,
        subprocess.Popen(
            [str(command), *arguments], stdout=log, stderr=log, env=environment
        ) as popen,
    ):
        try:
            url = f"http://127.0.0.1:{port}"
            _await_live(url, popen)
            ready_s = time.perf_counter() - start_s
            yield Server(url=url, process=psutil.Process(popen.pid), ready_s=ready_s)
        finally:
            popen.terminate()


def _await_live(url: str, popen: subprocess.Popen[bytes]) -> None:
    end_s = time.perf_counter() + _PATIENCE_S
    while time.perf_counter() < end_s and popen.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health/liveliness", timeout=_PATIENCE_S):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    raise SystemExit("LiteLLM's proxy did not start.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
