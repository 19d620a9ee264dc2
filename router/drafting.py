"""Who makes the student's drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from policies.types import Answer, Evidence
from router.record.redact import Redactor
from router.release import Release
from router.students.encoder import Encoder
from router.wire.openai import input_text


class Drafter(Protocol):
    """Makes drafts for requests; may raise anything, which counts as an unavailable student."""

    def is_ready(self, release: Release | None) -> bool:
        """Whether a draft can be asked for under the release in force."""
        ...

    async def draft(
        self, body: Mapping[str, Any], release: Release | None
    ) -> tuple[Answer, Evidence]:
        """A draft and its evidence, with a confidence where the release can give one."""
        ...

    async def warm_up(self) -> None:
        """Load what the first draft would have to wait for."""
        ...

    def close(self) -> None:
        """Finish what runs; no draft is asked for after this."""
        ...


class DraftsQueueFull(Exception):
    """More drafts wait than will be made before the teacher could have answered."""


class EmbeddedDrafter:
    """Drafts by the releases' own students, one at a time in one thread.

    One thread, since the encoder uses the cores by itself and the event loop needs its share.
    ``most_waiting``: drafts that may be under way or wait; beyond them the student counts as
    unavailable, so that the teacher is asked at once.
    """

    def __init__(self, encoder: Encoder, redactor: Redactor, most_waiting: int = 64) -> None:
        self._encoder = encoder
        self._redactor = redactor
        self._most_waiting = most_waiting
        self._waiting = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="draft")

    def is_ready(self, release: Release | None) -> bool:
        return release is not None and release.student is not None

    async def draft(
        self, body: Mapping[str, Any], release: Release | None
    ) -> tuple[Answer, Evidence]:
        if release is None:
            raise ValueError("a draft needs a release")
        if self._waiting >= self._most_waiting:
            raise DraftsQueueFull
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._worker, self._draft, body, release)
        finally:
            self._waiting -= 1

    def _draft(self, body: Mapping[str, Any], release: Release) -> tuple[Answer, Evidence]:
        text = self._redactor.text(input_text(body))
        return release.draft(text, self._encoder)

    async def warm_up(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._worker, self._encoder.encode, ["warm up"])

    def close(self) -> None:
        self._worker.shutdown(wait=True)
