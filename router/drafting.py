"""Who makes the student's drafts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from policies.types import Answer, Evidence
from router.meter.prices import Usage
from router.record.redact import Redactor
from router.release import Release
from router.students.embedded import EmbeddedStudent
from router.students.encoder import Encoder
from router.upstream.model import AttemptLog
from router.wire.openai import input_text


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A draft, its evidence, and what it took.

    ``attempts``: the calls of a server, none where the student runs in process and costs nothing;
    ``usage`` and ``upstream_model``: what the server said, None where it said nothing.
    """

    answer: Answer
    evidence: Evidence
    attempts: Sequence[AttemptLog] = ()
    usage: Usage | None = None
    upstream_model: str | None = None


class Drafter(Protocol):
    """Makes drafts for requests; may raise anything, which counts as an unavailable student."""

    def is_ready(self, release: Release | None) -> bool:
        """Whether a draft can be asked for under the release in force."""
        ...

    async def draft(self, body: Mapping[str, Any], release: Release | None) -> Draft:
        """A draft and its evidence, with a confidence where the release can give one.

        A CallError carries the calls that were made in vain.
        """
        ...

    async def prepare(self, release: Release) -> None:
        """Load what the first draft would have to wait for; afterwards the release may be put in
        force. Raises TutelageError where it can't draft yet."""
        ...

    async def tend(self, neighbours: Sequence[Release]) -> None:
        """Keep at hand what may be put in force next; called about once a second. ``neighbours``:
        the releases in force, those before them, and candidates."""
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
    unavailable, so that the teacher is asked at once. ``threaded``: False where nobody else waits
    for the event loop; then drafts are made in it, and no switch of threads is paid for.
    """

    def __init__(
        self,
        encoder: Encoder,
        redactor: Redactor,
        most_waiting: int = 64,
        *,
        threaded: bool = True,
    ) -> None:
        self._encoder = encoder
        self._redactor = redactor
        self._most_waiting = most_waiting
        self._waiting = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="draft") if threaded else None

    def is_ready(self, release: Release | None) -> bool:
        return release is not None and isinstance(release.student, EmbeddedStudent)

    async def draft(self, body: Mapping[str, Any], release: Release | None) -> Draft:
        if release is None:
            raise ValueError("a draft needs a release")
        if self._worker is None:
            answer, evidence = self._draft(body, release)
            return Draft(answer=answer, evidence=evidence)
        if self._waiting >= self._most_waiting:
            raise DraftsQueueFull
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            drafted = await loop.run_in_executor(self._worker, self._draft, body, release)
        finally:
            self._waiting -= 1
        return Draft(answer=drafted[0], evidence=drafted[1])

    def _draft(self, body: Mapping[str, Any], release: Release) -> tuple[Answer, Evidence]:
        text = self._redactor.text(input_text(body))
        return release.draft(text, self._encoder)

    async def prepare(self, release: Release) -> None:
        loop = asyncio.get_running_loop()
        # Without a thread of its own the loop's serves: nothing drafts at the same time.
        await loop.run_in_executor(self._worker, release.space.encode, ["warm up"], self._encoder)

    async def tend(self, neighbours: Sequence[Release]) -> None:
        """What it needs is in the releases themselves."""

    def close(self) -> None:
        if self._worker is not None:
            self._worker.shutdown(wait=True)
