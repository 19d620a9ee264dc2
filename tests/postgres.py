"""A real PostgreSQL server for tests: on a free port of loopback, with a data folder of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PATIENCE_S = 60.0
_FOLDERS = "/usr/lib/postgresql"


def find_program(name: str) -> str | None:
    """The path of one of PostgreSQL's programs, which Debian keeps out of PATH."""
    newest = sorted(Path(_FOLDERS).glob(f"*/bin/{name}"), reverse=True)
    return str(newest[0]) if newest else shutil.which(name)


class PostgresServer:
    """May be stopped and started again; ``url`` stays the same."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self._folder, self._user = folder, user
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self._port: int = taken.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        self._run("initdb", "--no-sync", "--auth=trust", "--username=tests", "--encoding=UTF8")

    def start(self) -> None:
        command = [str(find_program("postgres")), "-D", str(self._folder), "-p", str(self._port)]
        options = ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off"]
        for option in options:
            command += ["-c", option]
        self._process = subprocess.Popen(
            command, user=self._user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end_s = time.monotonic() + _PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, "the PostgreSQL server ended"
            assert time.monotonic() < end_s, "the PostgreSQL server doesn't answer"
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, as a server goes that loses its power."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_PATIENCE_S)
            self._process = None

    @contextmanager
    def database(self, name: str) -> Iterator[str]:
        """The address of a new, empty database, which is dropped afterwards."""
        address = ("-h", "127.0.0.1", "-p", str(self._port), "-U", "tests")
        self._run("createdb", *address, name)
        try:
            yield f"postgresql://tests@127.0.0.1:{self._port}/{name}"
        finally:
            if self._process is not None:
                self._run("dropdb", "--force", *address, name)

    def _answers(self) -> bool:
        command = [str(find_program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(command, check=False).returncode == 0

    def _run(self, program: str, *options: str) -> None:
        where = ("-D", str(self._folder)) if program == "initdb" else ()
        command = [str(find_program(program)), *where, *options]
        ended = subprocess.run(
            command, user=self._user, cwd="/", capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """A server that runs until the block ends; the test is skipped where PostgreSQL is missing."""
    pytest.importorskip("psycopg")
    if find_program("initdb") is None:
        pytest.skip("PostgreSQL is not installed: sh tests/setup-long.sh installs it")
    folder = Path(tempfile.mkdtemp(prefix="tutelage-postgres-"))
    user = None
    if os.getuid() == 0:  # initdb refuses root
        user = "postgres" if _knows("postgres") else "nobody"
        shutil.chown(folder, user)
    server = PostgresServer(folder, user)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _knows(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
