"""Several workers behind one address: one ends, another goes on, and nothing that was settled is
lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.gateway.processes import COMMAND, workers_of
from router.record.store import Store
from router.testing import FakeUpstream

ASKED = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
PRICE = {"input": 2.5, "output": 10}


def write_config(folder: Path, upstream: str, **more: Any) -> Path:
    document = {
        "server": {"port": 0},
        "store": {"url": f"sqlite:///{folder}/t.db"},
        "coordination": {"url": "redis://127.0.0.1:6379"},
        "models": {"teacher": {"upstream": upstream, "model": "big", "retries": 0, "price": PRICE}},
        **more,
    }
    config = folder / "tutelage.yaml"
    config.write_text(yaml.safe_dump(document))
    return config


@contextmanager
def serving(config: Path, *options: str) -> Iterator[tuple[psutil.Process, str]]:
    """The process that was started, and its address."""
    process = subprocess.Popen(
        [*COMMAND, "serve", "--config", str(config), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[-1]
        yield psutil.Process(process.pid), address
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def ask(http: httpx.Client, base: str, **more: Any) -> httpx.Response:
    return http.post(f"{base}/v1/chat/completions", json={**ASKED, **more})


def verify(config: Path) -> dict[str, Any]:
    ended = subprocess.run(
        [*COMMAND, "ledger", "verify", "--config", str(config), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.long
async def test_a_killed_worker_loses_nothing_and_is_replaced(tmp_path: Path) -> None:
    async with FakeUpstream("ok") as up:
        config = write_config(tmp_path, up.base_url)
        await asyncio.to_thread(_kill_one_of_two, config)


def _kill_one_of_two(config: Path) -> None:
    answered: list[str] = []
    with serving(config, "--workers", "2") as (process, base):
        wait_until(lambda: len(workers_of(process)) == 2)
        for number in range(60):
            # A new connection each time, so that both workers get some.
            with httpx.Client(timeout=60) as http:
                answer = ask(http, base, stream=number % 3 == 0)
                assert answer.status_code == 200
                answered.append(answer.headers["x-tutelage-id"])
            if number in (20, 40):
                victim = workers_of(process)[0]
                os.kill(victim.pid, signal.SIGKILL)  # at once: the last answers are in no store yet
                wait_until(lambda v=victim: len(workers_of(process)) == 2 and not v.is_running())
    store = Store.open(f"sqlite:///{config.parent}/t.db")
    stored = {row.id for row in store.latest(1000)}
    store.close()
    assert set(answered) <= stored
    found = verify(config)
    assert (found["agrees"], found["interactions"]) == (True, len(stored))
    assert not [*(config.parent / "t-journal").glob("*")]


@pytest.mark.long
async def test_metrics_of_any_worker_tell_of_all(tmp_path: Path) -> None:
    async with FakeUpstream("ok") as up:
        config = write_config(tmp_path, up.base_url)
        await asyncio.to_thread(_scrape_while_one_dies, config)


def _scrape_while_one_dies(config: Path) -> None:
    with serving(config, "--workers", "2") as (process, base):
        wait_until(lambda: len(workers_of(process)) == 2)
        victim = workers_of(process)[0]
        for _ in range(40):
            with httpx.Client(timeout=60) as http:  # connections of their own reach both
                assert ask(http, base).status_code == 200
        wait_until(lambda: _count_interactions(base) == 40)
        # Whoever is asked, none shows less than the one before.
        assert [_count_interactions(base) for _ in range(10)] == [40] * 10
        os.kill(victim.pid, signal.SIGKILL)
        wait_until(lambda: len(workers_of(process)) == 2 and not victim.is_running())
        assert [_count_interactions(base) for _ in range(10)] == [40] * 10
        with httpx.Client(timeout=60) as http:
            ask(http, base)
        wait_until(lambda: _count_interactions(base) == 41)


def _count_interactions(base: str) -> float:
    page = httpx.get(f"{base}/metrics", timeout=60).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "tutelage_interactions_total"
    )


@pytest.mark.long
def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9/v1")
    command = [*COMMAND, "serve", "--config", str(config), "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        process = psutil.Process(parent.pid)
        wait_until(lambda: len(workers_of(process)) == 2)
        workers = workers_of(process)
        time.sleep(3)  # they start to serve
        parent.kill()
        _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"coordination": {"url": "memory://"}}, "set coordination.url to redis://"),
        (
            {"workloads": [{"name": "w", "promise": {"agreement": 0.9, "guarantee": True}}]},
            "the guarantee of workload w is kept by one worker only",
        ),
    ],
)
def test_what_only_one_worker_can_serve(tmp_path: Path, more: dict[str, Any], said: str) -> None:
    config = write_config(tmp_path, "http://127.0.0.1:9/v1", **more)
    command = [*COMMAND, "serve", "--config", str(config), "--workers", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert said in ended.stderr
