"""Keeps what may be recalled, per workload, across requests and restarts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from policies.compare import get_comparer
from policies.promise.drift import Alarm
from policies.types import Answer, Evidence
from router.record.history import Answered
from router.record.model import Interaction
from router.record.redact import is_redacted
from router.record.store import Store
from router.settings.model import Settings
from router.settings.recall import RecallSettings
from router.students.question import identify
from router.students.recall import Memory
from router.upstream.model import UpstreamTarget
from router.wire.openai import answer_from_json, is_cascadable, shape_of
from router.wire.written_json import write_json


class RecallKeeper:
    """Memories by workload. Used from one event loop only.

    A memory is filled by the first call for its workload from what the store holds of the teacher's
    answers, through the same code that takes in new ones, as long as they were given under this
    very configuration: after a change of it, recall starts afresh. ``clock``: seconds since the
    epoch.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        targets: Mapping[str, UpstreamTarget],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._settings = settings
        self._targets = targets
        self._clock = clock
        self._memories: dict[str, Memory] = {}
        self._heeded: dict[str, Alarm | None] = {}

    def memory(self, workload: str, recall: RecallSettings) -> Memory:
        """The workload's memory; the first call for a workload reads the store."""
        found = self._memories.get(workload)
        if found is None:
            found = Memory(most=recall.max_answers, max_age_s=recall.max_age)
            self._memories[workload] = found
            known = self._store.answered(
                workload,
                recall.max_answers,
                since_s=self._clock() - recall.max_age,
                settings_digest=self._settings.digest,
            )
            for one in known:
                self._learn(found, one)
        return found

    def heed(self, workload: str, alarm: Alarm | None) -> None:
        """``alarm``: the newest about drift. A new one about agreement or the teacher itself, and
        what was answered before it isn't recalled."""
        before = self._heeded.setdefault(workload, alarm)
        if alarm is not None and alarm != before and alarm.kind in ("agreement", "teacher"):
            self._memories[workload].forget()
        self._heeded[workload] = alarm

    def identify(self, body: Mapping[str, Any], teacher: str, tenant: str) -> str | None:
        """The question that a request asks; None where no draft could stand for its answer."""
        if not is_cascadable(body) or teacher not in self._targets:
            return None
        target = self._targets[teacher]
        where = f"{teacher} {target.base_url} {target.model}"
        return identify(body, teacher=where, tenant=tenant)

    def is_ready(self, workload: str, question: str | None) -> bool:
        """Whether there is an answer to recall; of a workload that recalls nothing, never."""
        memory = self._memories.get(workload)
        return memory is not None and question is not None and memory.has(question, self._clock())

    def recall(self, workload: str, question: str) -> tuple[Answer, Evidence] | None:
        """The answer with its evidence; None where there is none any more."""
        return self._memories[workload].recall(question, self._clock())

    def observe(self, record: Interaction) -> None:
        """Take in an interaction that is over, where its workload recalls and the teacher answered.

        Nothing that wasn't to be stored is remembered, and nothing in which something was redacted:
        what stands in memory is what stands in the store.
        """
        memory = self._memories.get(record.workload)
        told = record.seen and record.stored and record.status == "ok"
        if memory is None or not told or record.request is None or record.teacher_answer is None:
            return
        answered = Answered(
            created_at=record.created_at,
            tenant=record.tenant,
            request=record.request,
            teacher_answer=record.teacher_answer,
            teacher_model=record.teacher_model,
            teacher_version=record.teacher_version,
            comparer=record.comparer,
        )
        self._learn(memory, answered)

    def _learn(self, memory: Memory, answered: Answered) -> None:
        body, teacher = answered.request, answered.teacher_model
        if teacher is None or self._was_redacted(answered):
            return
        question = self.identify(body, teacher, answered.tenant)
        if question is None:
            return
        shape, comparer = shape_of(body), get_comparer(answered.comparer)
        memory.learn(
            question,
            answer_from_json(answered.teacher_answer),
            teacher=teacher,
            version=answered.teacher_version,
            at_s=answered.created_at,
            agrees=lambda before, after: comparer.agrees(before, after, shape),
        )

    def _was_redacted(self, answered: Answered) -> bool:
        """Whether a placeholder stands in it. One that the client wrote itself counts too."""
        if not self._settings.data.redact:
            return False
        return is_redacted(write_json([answered.request, answered.teacher_answer]).decode())
