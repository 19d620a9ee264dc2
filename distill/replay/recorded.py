"""The recorded teacher and student: they know the answer to one query at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from time import time
from typing import Any

from distill.streams import StreamRow
from policies.types import Evidence
from router.drafting import Draft
from router.evidence.logprobs import read_signals
from router.evidence.measure import last_question, measure_draft
from router.release import Release
from router.upstream.forward import Forwarded, Inquiry
from router.upstream.model import AttemptLog, CallFailed, Reply, UpstreamTarget
from router.upstream.stream import StreamReply
from router.wire.form import Native
from router.wire.openai import completion_from_answer


class RecordedTeacher:
    """Answers with the recorded answer of ``row``, which the replay sets before each query.

    A request that isn't the row's is refused: an answer can't leak from one query to another.
    ``calls``: how often it was asked.
    """

    def __init__(self) -> None:
        self.row: StreamRow | None = None
        self.calls = 0

    async def start(self) -> None:
        """There is nothing to connect to."""

    async def close(self) -> None:
        """There is nothing to close."""

    async def complete(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: list[AttemptLog] | None = None,
    ) -> Reply:
        """The recorded answer, as the upstream would have sent it."""
        row = self.row
        if row is None or body["messages"] != row.body["messages"]:
            raise CallFailed("The recorded teacher was asked about another query.")
        self.calls += 1
        teacher = row.teacher
        usage: dict[str, int] | None = None
        if teacher.usage is not None:
            usage = {
                "prompt_tokens": teacher.usage.prompt_tokens,
                "completion_tokens": teacher.usage.completion_tokens,
                "total_tokens": teacher.usage.prompt_tokens + teacher.usage.completion_tokens,
            }
        payload = completion_from_answer(
            teacher.answer,
            id=f"chatcmpl-{row.id}",
            model=teacher.model or target.model,
            created=0,
            usage=usage or {},
        )
        attempt = AttemptLog(started_at=time(), latency_ms=teacher.latency_ms or 0.0, status=200)
        return Reply(
            status=200,
            raw=json.dumps(payload).encode(),
            payload=payload,
            attempts=(attempt,),
        )

    async def open_stream(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: list[AttemptLog] | None = None,
    ) -> StreamReply:
        """A replay streams nothing."""
        raise CallFailed("The recorded teacher gives whole answers only.")

    async def forward(self, target: UpstreamTarget, inquiry: Inquiry) -> Forwarded:
        """A replay asks for answers alone."""
        raise CallFailed("The recorded teacher keeps nothing but answers.")


class RecordedStudent:
    """Drafts with the recorded drafts; the release, once there is one, is the gate over them."""

    def __init__(self) -> None:
        self.row: StreamRow | None = None

    def is_ready(self, release: Release | None) -> bool:
        """A recorded student needs no release to draft; its drafts teach the first gate."""
        return True

    async def draft(self, body: Mapping[str, Any], release: Release | None) -> Draft:
        """The row's draft with its recorded evidence, and what can be measured on the draft."""
        row = self.row
        if row is None or row.student is None or body["messages"] != row.body["messages"]:
            raise ValueError("the recorded student was asked about another query")
        measured = measure_draft(body, row.student.answer)
        signals = measured | read_signals(row.student.evidence)
        evidence = Evidence(available=True, signals=signals)
        judged = evidence if release is None else release.judge(evidence, last_question(body))
        return Draft(answer=row.student.answer, evidence=judged)

    async def prepare(self, release: Release) -> None:
        """There is nothing to load."""

    async def tend(self, neighbours: Sequence[Release]) -> None:
        """There is nothing to keep."""

    def close(self) -> None:
        """There is nothing to end."""


def has_student(rows: Sequence[StreamRow]) -> bool:
    """Whether every row has a recorded draft, so that the recorded student can be replayed."""
    return all(row.student is not None for row in rows)
