"""Learning as a process of its own: it watches, is stopped, is killed, meets another."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from router.record.store import Store
from router.release import load_release
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop

MESSAGES = make_messages(260, seed=1)
PATIENCE_S = 600.0
"""The learner gives way to whatever else the machine does."""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(folder=tmp_path)


@contextmanager
def started(shop: Shop, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        shop.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until(happened: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Returns as soon as it is so; the end of the process is a failure."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s, "it never happened"
        time.sleep(0.01)


@contextmanager
def opened(shop: Shop) -> Iterator[Store]:
    store = shop.open()
    try:
        yield store
    finally:
        store.close()


def let_leases_end(shop: Shop) -> None:
    """As if their holders had given no sign of life for long."""
    with closing(sqlite3.connect(shop.folder / "t.db")) as connection, connection:
        query = "UPDATE meta SET value = json_set(value, '$[1]', 0.0) WHERE key LIKE 'lease:%'"
        assert connection.execute(query).rowcount == 1


def test_watch_waits_for_a_store_learns_and_ends_when_told(shop: Shop) -> None:
    with started(shop, "distill", "watch", "--look-every", "0.05") as process:
        shop.answer(MESSAGES[:110])
        with opened(shop) as store:
            wait_until(lambda: bool(store.active_releases()), process)
            shop.answer(MESSAGES[110:], "more")
            wait_until(lambda: len(store.releases()) == 2, process)
            wait_until(lambda: store.cycles(1)[0].ended_at is not None, process)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=PATIENCE_S)
            assert process.returncode == 0
            assert err.splitlines()[0] == f"Watching {shop.folder / 't.db'} for answers."
            assert [line.split(":")[0] for line in out.splitlines()] == ["promoted"] * 2
            assert [cycle.outcome for cycle in store.cycles(9)] == ["promoted"] * 2


@pytest.mark.long
def test_watch_without_a_store_ends_when_told(shop: Shop) -> None:
    with started(shop, "distill", "watch", "--look-every", "0.05") as process:
        status = Path(f"/proc/{process.pid}/status")
        if not status.exists():
            pytest.skip("which signals a process handles is read from /proc")
        handled = 1 << (signal.SIGTERM - 1)

        def is_listening() -> bool:
            (mask,) = [x for x in status.read_text().splitlines() if x.startswith("SigCgt:")]
            return bool(int(mask.split()[1], 16) & handled)

        wait_until(is_listening, process)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (out, err.splitlines()[1:]) == ("", ["It isn't there yet: start the gateway."])
        assert process.returncode == 0
    assert not (shop.folder / "t.db").exists()


@pytest.mark.parametrize(
    "sent", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)]
)
def test_a_cycle_that_is_told_to_stop_is_closed(shop: Shop, sent: signal.Signals) -> None:
    shop.answer(MESSAGES[:110])
    with started(shop, "distill", "run") as process, opened(shop) as store:
        wait_until(lambda: bool(store.cycles(1)), process)
        process.send_signal(sent)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out) == (1, "")
        assert err.startswith("tutelage: The cycle was stopped")
        assert err.count("\n") == 1
        assert store.cycles(1)[0].outcome == "failed"
        assert store.active_releases() == {}
    assert shop.spawn("distill", "run").code == 0


def test_a_killed_cycle_leaves_everything_usable(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    with started(shop, "distill", "run") as process, opened(shop) as store:
        wait_until(lambda: bool(store.cycles(1)), process)
        process.kill()
        process.communicate()
    assert shop.spawn("releases", "list").out == "No releases yet.\n"
    assert "last cycle: running" in shop.spawn("distill", "status").out
    let_leases_end(shop)
    assert shop.spawn("distill", "run").out.startswith("promoted: ")
    with opened(shop) as store:
        assert [cycle.outcome for cycle in store.cycles(9)] == ["promoted", "abandoned"]
        (release,) = store.releases()
        load_release(Path(release.path))


@pytest.mark.long
def test_after_a_kill_the_next_cycle_begins_within_a_minute(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    with started(shop, "distill", "run") as process, opened(shop) as store:
        wait_until(lambda: bool(store.cycles(1)), process)
        process.kill()
        killed_s = time.monotonic()
        process.communicate()
        with started(shop, "distill", "watch", "--look-every", "0.2") as watching:
            wait_until(lambda: len(store.cycles(9)) == 2, watching)
            waited_s = time.monotonic() - killed_s
            assert waited_s < 60.0
            wait_until(lambda: bool(store.active_releases()), watching)
        assert store.cycles(9)[1].outcome == "abandoned"


def test_of_two_cycles_at_once_the_second_says_so(shop: Shop) -> None:
    shop.answer(MESSAGES[:110])
    with opened(shop) as store:
        first = store.begin_cycle("support", 110)
        assert first is not None
        second = shop.spawn("distill", "run")
        assert second.code == 1
        assert second.out.startswith("busy: support: another cycle is running")
        store.end_cycle(first, "failed")
        assert shop.spawn("distill", "run").out.startswith("promoted: ")
        assert [cycle.outcome for cycle in store.cycles(9)] == ["promoted", "failed"]
