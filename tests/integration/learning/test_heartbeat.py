"""A lease is kept by a process beside the one that works, and given back when that one ends."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distill.heartbeat import hold
from router.record.leases import LEASE_S
from router.record.store import Store

PATIENCE_S = 60.0

# Works without ever letting another thread run, as LAPACK does, until it is killed.
WORKER = """
import sys
from distill import heartbeat
from router.record.store import Store
heartbeat._ALONE_S = 0.0
store = Store.open(sys.argv[1])
with heartbeat.hold(store, "train:shop") as held:
    while held._beside is None:
        pass
    print("at work", flush=True)
    sys.setswitchinterval(1e6)
    while True:
        pass
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/t.db")
    yield opened
    opened.close()


def wait_until(happened: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.02)


def test_a_killed_holder_is_followed_at_once(store: Store) -> None:
    words = [sys.executable, "-c", WORKER, str(store.url)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "at work\n"
        first = store.leased_until("train:shop")
        wait_until(lambda: store.leased_until("train:shop") > first)  # by the process beside it
        with hold(store, "train:shop") as held:
            assert held is None
        worker.kill()
    wait_until(lambda: store.leased_until("train:shop") == 0.0)  # long before LEASE_S
    with hold(store, "train:shop") as held:
        assert held is not None
    assert store.leased_until("train:shop") == 0.0


def test_a_lease_that_was_given_to_another_is_lost(store: Store) -> None:
    now = [1_000.0]
    clocked = Store.open(str(store.url), lambda: now[0])
    with hold(clocked, "train:shop") as held:
        assert held is not None
        assert not held.is_lost()
        now[0] += LEASE_S + 1.0
        assert clocked.take_lease("train:shop", "another")
        assert held.is_lost()
    assert clocked.leased_until("train:shop") == now[0] + LEASE_S
    clocked.close()


def test_the_process_beside_ends_where_the_lease_is_lost(store: Store) -> None:
    assert store.take_lease("x", "another")
    words = [sys.executable, "-m", "distill.heartbeat"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, text=True) as beside:
        assert beside.stdin is not None
        beside.stdin.write(json.dumps([store.url, "x", "me"]) + "\n")
        beside.stdin.flush()
        assert beside.wait(PATIENCE_S) == 1  # though the other hasn't ended
    assert store.leased_until("x") > 0.0
