"""What is read on from the store: one workload's trouble is no other's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from fastapi import FastAPI

from policies.promise.certificate import Certificate
from policies.types import Trial
from router import following
from router.app import build_deps
from router.record.store import Store
from router.settings.model import PromiseSettings, Settings

PROMISE = PromiseSettings(accuracy=0.9)
GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)


def read_badly() -> Iterator[tuple[int, Trial]]:
    raise ValueError("a row of another version")
    yield  # pragma: no cover


async def test_what_cannot_be_read_serves_nothing_and_stops_nobody_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(following, "_FOLLOW_S", 0.01)
    app = FastAPI()
    app.state.deps = deps = build_deps(Settings(), Store.open(":memory:"))
    bad, good = (deps.promises.account(name, PROMISE) for name in ("bad", "good"))
    assert isinstance(bad, Certificate)
    while bad.level() is None:
        bad.observe(GOOD)
    unread = [{"bad": read_badly(), "good": iter([(n, GOOD)])} for n in range(1, 4)]
    monkeypatch.setattr(deps.promises, "followed", lambda: unread.pop(0) if unread else {})
    with caplog.at_level(logging.ERROR):
        task = asyncio.create_task(following._follow_promises(app))
        async with asyncio.timeout(30):
            while good.trials < 3:  # noqa: ASYNC110 - the task tells nobody
                await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert bad.level() is None
    assert caplog.text.count("What came of workload bad can't be taken in.") == 1
