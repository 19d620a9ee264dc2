"""``python -m tests.conformance``: exit 0 where everything passes but the listed exceptions."""

from __future__ import annotations

import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from router.app import create_app
from router.record.store import Store
from router.settings.model import Settings
from tests.conformance.others import (
    PROFILES,
    fetch_openai,
    models_in,
    run_compatcanary,
    run_openai,
)
from tests.conformance.upstream import KeepingUpstream
from tests.conformance.verdict import judge, read_exceptions

_EXCEPTIONS = Path(__file__).with_name("exceptions.txt")


@asynccontextmanager
async def _gateway(upstream: str, names: set[str]) -> AsyncIterator[str]:
    """The gateway, where every name that the tests ask for is the teacher's."""
    teacher = {"upstream": upstream, "model": "big-70b", "aliases": sorted(names), "retries": 0}
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.model_validate(
            {"store": {"url": f"sqlite:///{folder}/t.db"}, "models": {"teacher": teacher}}
        )
        app = create_app(settings, Store.open(settings.store.url))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            task = asyncio.create_task(server.serve(sockets=[listener]))
            while not server.started:  # noqa: ASYNC110 - uvicorn offers no event to wait for
                await asyncio.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            server.should_exit = True
            await task


async def _main(folder: Path, exceptions: dict[str, str]) -> int:
    names = models_in(folder)
    async with KeepingUpstream() as upstream, _gateway(upstream.base_url, names) as base_url:
        found = await run_openai(folder, base_url)
        for profile in PROFILES:
            found |= await run_compatcanary(profile, base_url, min(names))
    wrong = list(judge(found, exceptions))
    passed = sum(failure is None for failure in found.values())
    sys.stdout.write("".join(f"{sentence}\n" for sentence in wrong))
    sys.stdout.write(f"{passed} of {len(found)} passed, {len(found) - passed} did not.\n")
    for pattern, reason in exceptions.items():
        sys.stdout.write(f"excepted: {pattern}: {reason}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(_main(fetch_openai(), read_exceptions(_EXCEPTIONS))))
