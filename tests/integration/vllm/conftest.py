"""A real vLLM on the CPU, started once by the command that users start it with."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from benchmarks.vllm.environment import locate

TUTELAGE = Path(sys.executable).parent / "tutelage"

_UP_WITHIN_S = 420.0
"""45 to 70 s on two idle cores."""


@pytest.fixture(scope="session")
def vllm_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a vLLM that calls its base model ``small`` and has no adapter yet."""
    with _served(tmp_path_factory.mktemp("vllm"), "--rank", "8") as url:
        yield url


@pytest.fixture
def scorer_url(tmp_path: Path) -> Iterator[str]:
    """The address of another that lends no adapters: with them vLLM 0.32 ends on the CPU where
    several prompts are scored at once."""
    with _served(tmp_path, "--adapters", "0") as url:
        yield url


@contextmanager
def _served(folder: Path, *more: str) -> Iterator[str]:
    built = locate()
    if built is None:
        pytest.skip("there is no vLLM: make vllm builds one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = folder / "vllm.log"
    command = [str(TUTELAGE), "student", "serve", str(built.base_model)]
    options = ["--device", "cpu", "--name", "small", "--context", "512", *more]
    place = ["--port", str(port), "--python", str(built.python)]
    with log.open("wb") as out:
        server = subprocess.Popen(
            [*command, *options, *place],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
            start_new_session=True,  # it has processes of its own, which must end with it
        )
    try:
        url = f"http://127.0.0.1:{port}/v1"
        _wait(server, url, log)
        yield url
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(server.pid, number)
            with suppress(subprocess.TimeoutExpired):
                server.wait(timeout=20)


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + _UP_WITHIN_S
    while time.monotonic() < deadline_s:
        if server.poll() is not None:
            break
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/models", timeout=5).status_code == 200:
                return
        time.sleep(0.5)
    last = log.read_text(errors="replace")[-3000:]
    pytest.fail(f"vLLM didn't come up within {_UP_WITHIN_S:g} s:\n{last}")
