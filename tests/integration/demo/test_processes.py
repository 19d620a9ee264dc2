"""Children of the demo: their address is found, their end is noticed, none outlives it."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from distill.demo.processes import Children, DemoError

LISTENS = "print('it listens on http://127.0.0.1:5', flush=True); import time; time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + LISTENS
FAILS = "print('one'); print('no such file'); raise SystemExit(3)"


async def test_an_address_is_read_and_children_end_with_the_block(tmp_path: Path) -> None:
    before = {child.pid for child in psutil.Process().children()}
    with Children(tmp_path) as children:
        child = children.start("server", sys.executable, "-c", LISTENS)
        assert await child.address() == "http://127.0.0.1:5"
        children.check()
        assert {child.pid for child in psutil.Process().children()} > before
    assert {child.pid for child in psutil.Process().children()} <= before


async def test_a_child_that_ends_is_told_with_its_last_words(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        child = children.start("server", sys.executable, "-c", FAILS)
        with pytest.raises(DemoError, match=r"(?s)The server ended with code 3\..*no such file"):
            await child.address()


async def test_children_end_where_the_block_fails(tmp_path: Path) -> None:
    children = Children(tmp_path)
    child = children.start("server", sys.executable, "-c", LISTENS)
    await child.address()
    with pytest.raises(RuntimeError, match="broken"), children:
        raise RuntimeError("broken")
    with pytest.raises(DemoError, match="server ended"):
        child.check()


async def test_one_child_is_ended_before_the_others(tmp_path: Path) -> None:
    with Children(tmp_path) as children:
        first = children.start("first", sys.executable, "-c", LISTENS)
        second = children.start("second", sys.executable, "-c", LISTENS)
        await first.address()
        await second.address()
        children.end(first)
        children.check()  # the one that was ended on purpose is missed by nobody
        with pytest.raises(DemoError):
            first.check()
        second.check()


async def test_one_that_does_not_listen_to_reason_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.demo.processes._GRACE_S", 0.2)
    with Children(tmp_path) as children:
        child = children.start("server", sys.executable, "-c", STUBBORN)
        await child.address()
    with pytest.raises(DemoError, match="server ended"):
        child.check()
