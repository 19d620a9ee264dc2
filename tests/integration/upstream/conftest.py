"""A client whose waits between tries are recorded instead of slept."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from router.testing import FakeUpstream
from router.upstream.client import UpstreamClient
from router.upstream.model import UpstreamTarget

MakeTarget = Callable[..., UpstreamTarget]


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
async def client(waits: list[float]) -> AsyncIterator[UpstreamClient]:
    async def note(delay_s: float) -> None:
        waits.append(delay_s)

    async with UpstreamClient(rng=random.Random(0), sleep=note) as client:
        yield client


@pytest.fixture
def make_target() -> MakeTarget:
    def make(up: FakeUpstream | str, **fields: Any) -> UpstreamTarget:
        base_url = up if isinstance(up, str) else up.base_url
        given = {"connect_timeout_s": 1.0, "first_byte_timeout_s": 1.0, "total_timeout_s": 5.0}
        return UpstreamTarget(
            key="teacher", base_url=base_url, model="big-70b", **{"retries": 2, **given, **fields}
        )

    return make
