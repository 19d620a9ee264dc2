"""An interaction while it runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from policies.cascade import Rung, Skip
from policies.compare import choose_comparer
from policies.promise.accuracy import checks_draft
from policies.promise.policy import PROOF_FAILED
from policies.types import Answer, Ask, Evidence, Shape, Tier, Trace, TraceStep
from router.auth import Caller
from router.billing import Bill
from router.limits.door import Entry
from router.meter.prices import Usage
from router.record.model import Interaction, Status
from router.release import Release
from router.settings.model import STUDENT_KEY, WorkloadSettings
from router.telemetry.context import RequestSpan, current_span
from router.upstream.model import AttemptLog, CallError
from router.wire.openai import ChatRequest

UNDECIDED: Final = Ask(tier=Tier.TEACHER, commit=True, reason="undecided")
"""What stands in place of the committing ask until there is one."""


@dataclass(frozen=True, kw_only=True)
class DraftCalls:
    """The calls for one draft of a model behind a server. ``model``: its key; ``usage`` and
    ``version``: what the server said, None where it said nothing."""

    model: str
    attempts: Sequence[AttemptLog]
    usage: Usage | None = None
    version: str | None = None


class Tries(NamedTuple):
    """What bills rest on; each is replaced, never changed, as more becomes known."""

    drafts: tuple[DraftCalls, ...]
    calls: Sequence[AttemptLog]
    usage: Usage | None


class Billed(NamedTuple):
    """Bills of the calls for drafts and of the teacher's, one for each of the ``tries``."""

    tries: Tries
    drafts: tuple[Bill, ...]
    calls: tuple[Bill, ...]


@dataclass(kw_only=True)
class Outcome:
    """An interaction while it runs; filled in by the pipeline, read once by ``settle``.

    ``release``: the one that drafts for it, in force for its workload when it began, or a canary's;
    ``draft_ms``: how long its draft took; ``question``: names it among those that may be recalled;
    ``drafted_by``: the tier of ``draft``; ``end_s``: when its answer had been delivered, on the
    clock of ``start_s``; None until then; ``first_token_s``: when the first piece of the teacher's
    stream had come, on the same clock. ``model``: the teacher that is to be asked;
    ``answered_by``: the model that answered, which a fallback may be. ``draft_calls``: those of
    models behind servers, in order; the others are the teacher's. ``rungs``: further models that
    may draft; ``drafts``: what was drafted, by rung; ``drafter``: whose ``draft`` is, where it is
    of the student's tier; ``skipped``: rungs that weren't asked, and why. ``billed``: what its
    tries cost, and what that was worked out from. ``force``: the tier that the caller named.
    """

    id: str
    request: ChatRequest
    caller: Caller
    workload: str
    workload_settings: WorkloadSettings | None
    release: Release | None
    model: str
    trace: Trace
    ask: Ask
    force: Tier | None = None
    question: str | None = None
    drafted_by: Tier = Tier.STUDENT
    draft: Answer | None = None
    evidence: Evidence | None = None
    audit: Ask | None = None
    teacher_answer: Answer | None = None
    started_at: float = field(default_factory=time.time)
    start_s: float = field(default_factory=time.perf_counter)
    end_s: float | None = None
    first_token_s: float | None = None
    upstream_s: float = 0.0
    status: Status = "ok"
    answer: Answer | None = None
    usage: Usage | None = None
    upstream_model: str | None = None
    attempts: Sequence[AttemptLog] = ()
    answered_by: str | None = None
    draft_calls: tuple[DraftCalls, ...] = ()
    rungs: Sequence[Rung] = ()
    drafts: dict[str | None, tuple[Tier, Answer | None, Evidence]] = field(default_factory=dict)
    drafter: str = STUDENT_KEY
    skipped: dict[str, Skip] = field(default_factory=dict)
    draft_ms: float = 0.0
    noted: Interaction | None = None
    entry: Entry = field(default_factory=Entry)
    noted_status: Status | None = None
    span: RequestSpan | None = field(default_factory=current_span)
    billed: Billed | None = None

    @property
    def elapsed_s(self) -> float:
        """Seconds until the answer was delivered, or until now."""
        return (time.perf_counter() if self.end_s is None else self.end_s) - self.start_s

    @property
    def first_token_ms(self) -> float | None:
        """Until the first piece of a streamed answer; a draft leaves whole, once it was judged."""
        if not self.request.stream:
            return None
        if self.ask.tier is not Tier.TEACHER:
            return self.elapsed_s * 1000
        return None if self.first_token_s is None else (self.first_token_s - self.start_s) * 1000

    @property
    def overhead_ms(self) -> float:
        """Time so far that wasn't spent waiting for upstreams."""
        return max(0.0, self.elapsed_s - self.upstream_s) * 1000

    @property
    def speaker(self) -> str:
        """The configured model whose words the answer is."""
        if self.ask.tier is Tier.STUDENT:
            return self.drafter
        return self.model if self.ask.tier is Tier.RECALL else self.answered_by or self.model

    def name_comparer(self, shape: Shape, said: Answer | None) -> str:
        """The configured one, else that of the release in force, which the workload's answers chose
        together: judged by each answer alone, a single long one would change what agreement means.

        ``said``: what chooses where there is neither."""
        if self.workload_settings is not None and self.workload_settings.compare is not None:
            return self.workload_settings.compare
        if self.release is not None:
            return self.release.comparer
        return choose_comparer(shape, [] if said is None else [said])

    @property
    def can_fall_back(self) -> bool:
        """The teacher is asked by chance only: the draft is fit to be served if it can't answer."""
        return checks_draft(self.ask.reason, self.ask.propensity) and self.draft is not None

    @property
    def is_teachers(self) -> bool:
        """The answer is the teacher's own: what a draft is compared with and learned from."""
        return self.answered_by in (None, self.model)

    def may_draft_after(self, error: CallError) -> bool:
        """The teacher, and whoever may stand in for it, has failed, and the workload then wants a
        draft. A caller who named who answers gets the error."""
        settings = self.workload_settings
        wanted = settings is not None and settings.on_teacher_failure == "draft"
        return wanted and error.falls_over and self.ask.reason not in ("forced", "pinned")

    def fall_back(self, reason: str = PROOF_FAILED) -> None:
        """Serve the draft instead of the teacher's answer that didn't come."""
        self.ask = replace(self.ask, tier=self.drafted_by, reason=reason)
        self.trace = Trace(steps=(*self.trace.steps, TraceStep(ask=self.ask)))

    def keep_draft(self, reason: str) -> None:
        """Serve the draft, for a reason that leaves it no chance of a check."""
        self.ask = replace(self.ask, tier=self.drafted_by, reason=reason, propensity=1.0, floor=1.0)
        self.trace = Trace(steps=(*self.trace.steps[:-1], TraceStep(ask=self.ask)))

    @property
    def draft_attempts(self) -> tuple[AttemptLog, ...]:
        """All tries of all drafts."""
        return tuple(log for calls in self.draft_calls for log in calls.attempts)

    @property
    def draft_usage(self) -> Usage | None:
        """The draft's tokens: none in process, None where its server didn't say."""
        calls = [calls for calls in self.draft_calls if calls.model == self.drafter]
        return calls[-1].usage if calls else Usage(prompt_tokens=0, completion_tokens=0)

    def note_draft_calls(self, calls: DraftCalls) -> None:
        """A model's server was waited for."""
        self.draft_calls = (*self.draft_calls, calls)
        self.upstream_s += sum(log.latency_ms for log in calls.attempts) / 1000

    def stop_clock(self) -> None:
        """The answer is delivered: what follows, such as an audit, makes nobody wait."""
        self.end_s = time.perf_counter()

    def drop_audit(self) -> None:
        """Nothing is asked in the background after all."""
        self.audit = None
        steps = tuple(step for step in self.trace.steps if not step.ask.background)
        self.trace = replace(self.trace, steps=steps)
