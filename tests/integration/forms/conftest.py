"""One gateway for all tests of a module; each says what its upstream does by ``up.faults``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from router.testing import FakeUpstream
from tests.integration.forms.gateways import CALLS, USAGE, Served, serve


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder: Path = tmp_path_factory.mktemp("forms")
    async with (
        FakeUpstream(CALLS, usage=USAGE, extra={"x_note": "naïve"}) as up,
        serve(folder, up) as found,
    ):
        yield found


@pytest.fixture
def up(served: Served) -> FakeUpstream:
    """The upstream, with nothing seen yet."""
    served.up.requests.clear()
    served.up.sent.clear()
    return served.up
