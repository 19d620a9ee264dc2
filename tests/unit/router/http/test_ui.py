from __future__ import annotations

import pytest

from router.auth import is_own_host
from router.errors import NotFound
from router.http.ui import MOST_VIEWS, ViewCache


@pytest.mark.parametrize(
    "header",
    ["localhost", "localhost:8080", "127.0.0.1:8080", "127.8.9.1", "[::1]:80", "LOCALHOST:1"],
)
def test_loopback_names_are_ours(header: str) -> None:
    assert is_own_host(header, "127.0.0.1")


@pytest.mark.parametrize(
    "header",
    [
        *("", "evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil"),
        *("192.168.0.7", "evil@evil.example", "[::", "10.0.0.1:8080"),
    ],
)
def test_other_names_are_not(header: str) -> None:
    assert not is_own_host(header, "127.0.0.1")


def test_the_configured_host_is_ours() -> None:
    assert is_own_host("gateway.internal:8080", "Gateway.internal")
    assert is_own_host("[::1]:8080", "::1")


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Builder:
    """Takes ``takes_s`` by the clock and counts its calls."""

    def __init__(self, clock: Clock, takes_s: float = 0.0) -> None:
        self.calls = 0
        self._clock = clock
        self._takes_s = takes_s

    async def __call__(self) -> bytes:
        self.calls += 1
        self._clock.now_s += self._takes_s
        return str(self.calls).encode()


async def test_a_view_is_kept_for_a_second() -> None:
    clock = Clock()
    views, build = ViewCache(clock), Builder(clock)
    assert [await views.get("shop", build) for _ in range(3)] == [b"1"] * 3
    assert await views.get(None, build) == b"2"
    clock.now_s += 1.01
    assert await views.get("shop", build) == b"3"


async def test_a_dear_view_is_kept_for_longer() -> None:
    clock = Clock()
    views, build = ViewCache(clock), Builder(clock, takes_s=0.5)
    await views.get(None, build)
    clock.now_s += 4.4
    assert await views.get(None, build) == b"1"
    clock.now_s += 0.2
    assert await views.get(None, build) == b"2"


async def test_only_so_many_views_are_kept() -> None:
    clock = Clock()
    views, build = ViewCache(clock), Builder(clock)
    for n in range(MOST_VIEWS + 1):
        await views.get(f"w{n}", build)
    await views.get(f"w{MOST_VIEWS}", build)
    assert build.calls == MOST_VIEWS + 1
    await views.get("w0", build)
    assert build.calls == MOST_VIEWS + 2


async def test_a_failure_is_not_kept() -> None:
    async def fail() -> bytes:
        raise NotFound("No such workload.")

    clock = Clock()
    views = ViewCache(clock)
    with pytest.raises(NotFound):
        await views.get("shop", fail)
    assert await views.get("shop", Builder(clock)) == b"1"


async def test_several_dear_views_keep_the_store_busy_no_more_than_one() -> None:
    clock = Clock()
    views, build = ViewCache(clock), Builder(clock, takes_s=0.5)
    names = [f"w{n}" for n in range(5)]
    began_s = clock.now_s
    while clock.now_s < began_s + 300.0:
        for name in names:
            await views.get(name, build)
        clock.now_s += 0.1
    assert 0.05 < 0.5 * build.calls / 300.0 < 0.12
