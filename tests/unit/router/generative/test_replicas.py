"""Which server is asked, and which is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from router.generative.replicas import REST_S, Replicas, build_replicas
from router.settings.model import Settings
from router.upstream.model import (
    AttemptLog,
    CallError,
    CallFailed,
    CallRejected,
    CallTimedOut,
    Reply,
    UpstreamTarget,
)

LOG = AttemptLog(started_at=0.0, latency_ms=1.0)


class Servers:
    """Three of them; ``ill``: the error of each that fails, by its place and model."""

    def __init__(self) -> None:
        self.ill: dict[tuple[str, str], CallError] = {}
        self.asked: list[str] = []
        self.now_s = 0.0
        targets = [UpstreamTarget(key="student", base_url=url, model="m") for url in "abc"]
        self.replicas = Replicas(self, targets, clock=lambda: self.now_s)

    async def complete(self, target: UpstreamTarget, body: Mapping[str, Any]) -> Reply:
        self.asked.append(target.base_url)
        error = self.ill.get((target.base_url, target.model))
        if error is not None:
            error.attempts = (LOG,)
            raise error
        return Reply(status=200, raw=b"", payload={}, attempts=(LOG,))


def unknown_model() -> CallRejected:
    return CallRejected("unknown", status=404, raw=b"{}")


async def test_they_take_turns() -> None:
    servers = Servers()
    for _ in range(4):
        await servers.replicas.complete("m", {})
    assert servers.asked == ["b", "c", "a", "b"]


async def test_one_that_fails_rests_and_the_next_answers_with_all_attempts() -> None:
    servers = Servers()
    servers.ill["b", "m"] = CallFailed("broken")
    reply = await servers.replicas.complete("m", {})
    assert (servers.asked, len(reply.attempts)) == (["b", "c"], 2)
    for _ in range(4):
        await servers.replicas.complete("m", {})
    assert servers.asked.count("b") == 1
    servers.ill.clear()
    servers.now_s = REST_S
    for _ in range(3):
        await servers.replicas.complete("m", {})
    assert servers.asked.count("b") == 2


async def test_one_that_lacks_a_model_still_answers_for_others() -> None:
    servers = Servers()
    servers.ill["b", "new"] = unknown_model()
    await servers.replicas.complete("new", {})
    servers.asked.clear()
    for _ in range(3):
        await servers.replicas.complete("old", {})
    assert "b" in servers.asked
    servers.asked.clear()
    for _ in range(3):
        await servers.replicas.complete("new", {})
    assert "b" not in servers.asked
    servers.replicas.wake(1, "new")
    servers.ill.clear()
    for _ in range(3):
        await servers.replicas.complete("new", {})
    assert "b" in servers.asked


async def test_no_second_server_after_a_silent_one_or_for_a_request_at_fault() -> None:
    for error in (CallTimedOut("silent"), CallRejected("long", status=400, raw=b"{}")):
        servers = Servers()
        servers.ill["b", "m"] = error
        with pytest.raises(type(error)):
            await servers.replicas.complete("m", {})
        assert servers.asked == ["b"]


async def test_where_all_fail_the_error_tells_every_attempt() -> None:
    servers = Servers()
    servers.ill = {(url, "m"): CallFailed(url) for url in "abc"}
    with pytest.raises(CallFailed) as failed:
        await servers.replicas.complete("m", {})
    assert len(failed.value.attempts) == 3
    with pytest.raises(CallFailed, match="failed within the last seconds"):
        await servers.replicas.complete("m", {})
    assert len(servers.asked) == 3


def test_the_configured_servers_each_once() -> None:
    student = {
        "upstream": "http://a/v1",
        "replicas": ["http://b/v1", "http://a/v1"],
        "model": "small",
        "timeout_s": {"connect": 1},
    }
    settings = Settings.model_validate({"models": {"student": student}})
    replicas = build_replicas(settings, Servers())
    assert replicas is not None
    assert [target.base_url for target in replicas.targets] == ["http://a/v1", "http://b/v1"]
    target = replicas.targets[0]
    assert (target.connect_timeout_s, target.total_timeout_s, target.retries) == (1.0, 20.0, 0)
    assert build_replicas(Settings(), Servers()) is None
