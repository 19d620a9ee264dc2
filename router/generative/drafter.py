"""Drafts by a model behind a server, with the log-probabilities of its tokens as evidence.

A request is drafted by the student of the release with which it began, under a name that means one
content for ever: a change of release under way can't mix two versions in one answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from policies.types import Answer, Evidence
from router.drafting import Draft
from router.errors import ReleaseError
from router.evidence.format import find_format_fault
from router.evidence.logprobs import TOP, measure_tokens
from router.evidence.measure import last_question, measure_draft
from router.generative.adapters import Residents
from router.generative.replicas import Replicas
from router.generative.student import GenerativeStudent
from router.meter.prices import Usage
from router.release import Release
from router.upstream.model import Reply
from router.wire.openai import answer_from_message, shape_of


class GenerativeDrafter:
    """``base``: the name of the model that drafts where no release names another student.

    It drafts without a release, too: recorded drafts are what the first gate is learned from.
    """

    def __init__(self, replicas: Replicas, residents: Residents, base: str) -> None:
        self._replicas = replicas
        self._residents = residents
        self._base = GenerativeStudent(base=base)

    def is_ready(self, release: Release | None) -> bool:
        return True

    async def draft(self, body: Mapping[str, Any], release: Release | None) -> Draft:
        """A CallError where no server answers; ReleaseError where one answers as another model."""
        own = release if _is_generative(release) else None
        student = self._student_of(own)
        asked = {**body, "logprobs": True, "top_logprobs": TOP}
        reply = await self._replicas.complete(student.model, asked)
        said = reply.payload.get("model")
        if student.adapter is not None and said != student.model:
            raise ReleaseError(f"The student's server answered as {said!r} for {student.model}.")
        answer = _read_answer(reply)
        return Draft(
            answer=answer,
            evidence=_judge(body, answer, reply, own),
            attempts=reply.attempts,
            usage=Usage.from_openai(reply.payload.get("usage")),
            upstream_model=said if isinstance(said, str) else None,
        )

    async def prepare(self, release: Release) -> None:
        await self._residents.ensure(self._student_of(release))

    async def tend(self, neighbours: Sequence[Release]) -> None:
        students = [self._student_of(release) for release in neighbours]
        await self._residents.tend([self._base, *students])

    def close(self) -> None:
        """Calls under way are the upstream client's to end."""

    def _student_of(self, release: Release | None) -> GenerativeStudent:
        student = None if release is None else release.student
        return student if isinstance(student, GenerativeStudent) else self._base


def _is_generative(release: Release | None) -> bool:
    """The release's gate was learned from such drafts; that of an embedded student wasn't."""
    return release is not None and isinstance(release.student, GenerativeStudent)


def _read_answer(reply: Reply) -> Answer:
    choice = reply.payload["choices"][0]
    finish = choice.get("finish_reason")
    return answer_from_message(choice["message"], finish if isinstance(finish, str) else None)


def _judge(
    body: Mapping[str, Any], answer: Answer, reply: Reply, release: Release | None
) -> Evidence:
    tokens = measure_tokens(reply.payload["choices"][0].get("logprobs"))
    evidence = Evidence(available=True, signals=measure_draft(body, answer) | tokens)
    comparer = None if release is None else release.comparer
    fault = find_format_fault(shape_of(body), comparer, answer)
    if fault is not None:
        evidence = replace(evidence, signals={**evidence.signals, "format_fault": 1.0})
    if release is None:
        return evidence
    judged = release.judge(evidence, last_question(body))
    # However sure its words are, in another form than asked for it can't agree.
    return judged if fault is None or judged.confidence is None else replace(judged, confidence=0.0)
