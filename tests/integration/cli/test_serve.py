"""The ``tutelage`` executable: what stops it says so in one sentence, what it runs it ends well."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from router.record.store import Store
from router.testing import FakeUpstream

TUTELAGE = Path(sys.executable).parent / "tutelage"
TEACHER = "models: {teacher: {upstream: 'http://127.0.0.1:9/v1', model: big-70b}}\n"


def write(folder: Path, text: str) -> Path:
    config = folder / "tutelage.yaml"
    config.write_text(text)
    return config


def tutelage(*words: str | Path, folder: Path | None = None) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command that ends by itself."""
    ended = subprocess.run(
        [TUTELAGE, *words],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=folder,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def refusal(config: Path) -> str:
    """What ``serve`` says in place of serving."""
    code, out, err = tutelage("serve", "--config", config)
    assert (code, out) == (1, "")
    assert err.startswith("tutelage: ")
    assert err.count("\n") == 1
    return err


def test_an_unknown_key(tmp_path: Path) -> None:
    config = write(tmp_path, f"{TEACHER}sever: {{port: 1}}\n")
    code, out, err = tutelage("check-config", config)
    assert (code, err) == (1, "")
    assert f"{config}:2: error: sever is not a known key: did you mean server?" in out
    assert "line 2: sever is not a known key" in refusal(config)


def test_a_secret_that_is_not_set(tmp_path: Path) -> None:
    text = "models: {teacher: {upstream: 'http://h/v1', model: m, api_key_env: NO_SUCH_KEY}}\n"
    config = write(tmp_path, text)
    assert tutelage("check-config", config)[0] == 1
    assert "NO_SUCH_KEY, which is not set" in refusal(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [("models: [\n", "The file is not valid YAML"), ("just a sentence\n", "must be a mapping")],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.yaml")


def test_without_a_configuration(tmp_path: Path) -> None:
    code, out, err = tutelage("serve", folder=tmp_path)
    assert (code, out) == (1, "")
    assert err == (
        "tutelage: No configuration given and there is no tutelage.yaml here: name one with "
        "--config.\n"
    )
    write(tmp_path, "models: [\n")
    assert "tutelage.yaml, line " in tutelage("serve", folder=tmp_path)[2]


def test_a_store_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("not a database, but long enough to be looked at " * 50)
    store = f"store: {{url: 'sqlite:///{tmp_path}/t.db'}}\n"
    config = write(tmp_path, f"{TEACHER}{store}server: {{port: 0}}\n")
    assert "is not a SQLite database; point store.url at another file" in refusal(config)


def test_a_store_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    store = f"store: {{url: 'sqlite:///{tmp_path}/none/t.db'}}\n"
    config = write(tmp_path, f"{TEACHER}{store}server: {{port: 0}}\n")
    assert "can't be opened; check that its folder exists" in refusal(config)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        store = f"store: {{url: 'sqlite:///{tmp_path}/t.db'}}\n"
        config = write(tmp_path, f"{TEACHER}{store}server: {{port: {port}}}\n")
        assert f"Can't listen on 127.0.0.1:{port}" in refusal(config)


def test_bad_usage() -> None:
    code, out, err = tutelage("serve", "--workers", "many")
    assert (code, out) == (2, "")
    assert "usage: tutelage serve" in err


@asynccontextmanager
async def serving(folder: Path, upstream: str) -> AsyncIterator[tuple[Process, str]]:
    """A running gateway and its address; it is killed where the test leaves it running."""
    config = write(
        folder,
        f"server: {{port: 0}}\nstore: {{url: 'sqlite:///{folder}/t.db'}}\n"
        f"models: {{teacher: {{upstream: '{upstream}', model: big-70b, retries: 0}}}}\n",
    )
    process = await asyncio.create_subprocess_exec(
        TUTELAGE, "serve", "--config", config, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    try:
        line = await process.stdout.readline()
        address = line.decode().split()[-1]
        assert await process.stdout.readline() == f"The dashboard is at {address}/ui\n".encode()
        yield process, address
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize(("sent", "stream"), [(signal.SIGTERM, True), (signal.SIGINT, False)])
async def test_a_signal_lets_a_running_request_end(
    tmp_path: Path, sent: signal.Signals, stream: bool
) -> None:
    asked = {"model": "auto", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    async with (
        FakeUpstream("slow but sure", latency_s=1.0) as up,
        serving(tmp_path, up.base_url) as (process, base),
        httpx.AsyncClient(timeout=30) as http,
    ):
        running = asyncio.create_task(http.post(f"{base}/v1/chat/completions", json=asked))
        await up.wait_for_request(timeout_s=30)
        process.send_signal(sent)
        answer = await running
        async with asyncio.timeout(60):
            _, err = await process.communicate()
    assert answer.status_code == 200
    assert "sure" in answer.text
    assert (process.returncode, err) == (0, b"")
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    assert [row.status for row in store.latest(2)] == ["ok"]
    store.close()
