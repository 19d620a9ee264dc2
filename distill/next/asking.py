"""Asking the teacher about chosen questions, within a bound on money, and recording what it says.

Each call is an interaction of its own, with the reason ``targeted``: its cost counts, the next
cycle learns from its answer, and it is evidence for no promise, since no coin chose it.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Final

from distill.next.pool import Question
from policies.types import Answer, Ask, Tier
from router.billing import (
    Bill,
    bill_tries,
    count_tokens_at_most,
    hold_for,
    sum_costs,
    write_attempt,
)
from router.meter.money import plain_usd
from router.meter.prices import Usage, cost_of
from router.record.model import Attempt, Interaction, write_ask
from router.record.redact import Redactor
from router.record.store import Store
from router.settings.model import Settings
from router.upstream.client import UpstreamClient
from router.upstream.model import AttemptLog, CallError, Reply, UpstreamTarget
from router.wire.openai import answer_from_message, answer_to_json, count_prompt_chars

TARGETED: Final = "targeted"
"""The teacher was asked on purpose about what a student had answered, to learn from it."""

_AT_ONCE = 4
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, kw_only=True)
class Asked:
    """``answers``: that came, of ``calls``; ``cost_usd``: of those whose cost is known;
    ``unpriced``: how many it isn't known of; ``stopped``: why not all were asked, a sentence."""

    calls: int
    answers: int
    cost_usd: Decimal
    unpriced: int
    stopped: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asker:
    """``each_usd``: what an answer has cost so far, on average; ``most_usd``: that may be spent,
    None for no bound. Answers that cost more than expected may exceed it, by one round at most."""

    settings: Settings
    store: Store
    redactor: Redactor
    upstream: UpstreamClient
    targets: Mapping[str, UpstreamTarget]
    workload: str
    comparer: str
    each_usd: Decimal = Decimal(0)
    most_usd: Decimal | None = None
    tell: Callable[[int, int], None] = lambda done, total: None

    async def ask(self, questions: Sequence[Question]) -> Asked:
        """Ask about them in their order, a few at once, until all are asked, the money is spent or
        a whole round has failed. What came is in the store when it returns, or raises."""
        records: list[Interaction] = []
        stopped = None
        while len(records) < len(questions) and stopped is None:
            next_ones = self._afford(questions[len(records) : len(records) + _AT_ONCE], records)
            if not next_ones:
                bound = plain_usd(self.most_usd or Decimal(0))
                stopped = f"The bound of ${bound} has no room for another call."
                break
            fresh = await asyncio.gather(*map(self._ask, next_ones))
            self.store.append(fresh)
            records += fresh
            self.tell(len(records), len(questions))
            if all(one.teacher_answer is None for one in fresh):
                stopped = "The teacher gave no answer any more; see the newest interactions."
        costs = [one.cost_usd for one in records]
        return Asked(
            calls=len(records),
            answers=sum(one.teacher_answer is not None for one in records),
            cost_usd=sum((cost for cost in costs if cost is not None), Decimal(0)),
            unpriced=costs.count(None),
            stopped=stopped,
        )

    def _afford(
        self, questions: Sequence[Question], records: Sequence[Interaction]
    ) -> Sequence[Question]:
        """The first of them that what is left of the money is likely to pay for."""
        if self.most_usd is None:
            return questions
        spent = [self._count(one) for one in records]
        mean = max(self.each_usd, sum(spent, Decimal(0)) / max(len(spent), 1))
        left = self.most_usd - sum(spent, Decimal(0))
        for n, question in enumerate(questions):
            left -= max(mean, self._price_prompt(question))
            if left < 0:
                return questions[:n]
        return questions

    def _count(self, record: Interaction) -> Decimal:
        """A call of unknown cost counts as what was held for it, at least as one likely answer."""
        if record.cost_usd is not None:
            return record.cost_usd
        held = (attempt.held_usd or Decimal(0) for attempt in record.attempts)
        return max(self.each_usd, sum(held, Decimal(0)))

    def _price_prompt(self, question: Question) -> Decimal:
        tokens = count_prompt_chars(question.body) // _CHARS_PER_TOKEN
        price = self.settings.models[question.model].price
        return cost_of(Usage(prompt_tokens=tokens, completion_tokens=0), price) or Decimal(0)

    async def _ask(self, question: Question) -> Interaction:
        """What was asked and what came of it; a call that fails is recorded as an error."""
        began_s, tries = time.perf_counter(), list[AttemptLog]()
        reply: Reply | None = None
        try:
            target = self.targets[question.model]
            reply = await self.upstream.complete(target, dict(question.body), None, tries)
        except CallError:
            attempts: Sequence[AttemptLog] = tries
        else:
            attempts = reply.attempts
        latency_ms = 1000.0 * (time.perf_counter() - began_s)
        return self._record(question, attempts, reply, latency_ms)

    def _record(
        self,
        question: Question,
        attempts: Sequence[AttemptLog],
        reply: Reply | None,
        latency_ms: float,
    ) -> Interaction:
        answer, usage, version = _read(reply)
        price = self.settings.models[question.model].price
        hold = partial(
            hold_for, count_tokens_at_most(question.body), count_prompt_chars(question.body)
        )
        bills = bill_tries(attempts, usage, [price] * len(attempts), hold)
        asked, interaction_id = question.asked, f"int_{uuid.uuid4().hex}"
        written = None if answer is None else dict(self.redactor.json(answer_to_json(answer)))
        cost = sum_costs([bill.cost_usd for bill in bills])
        return Interaction(
            id=interaction_id,
            created_at=time.time(),
            workload=self.workload,
            tenant=asked.tenant,
            key_name=asked.key_name,
            train_ok=True,
            stored=True,
            stream=False,
            request=asked.request,
            input_text=asked.input_text,
            group="",
            comparer=self.comparer,
            tier=Tier.TEACHER,
            model=question.model,
            reason=TARGETED,
            status="ok" if reply is not None else "error",
            answer=written,
            teacher_answer=written,
            teacher_model=None if written is None else question.model,
            teacher_version=version,
            seen=written is not None,
            agreed=True if written is not None else None,
            cost_usd=cost,
            teacher_cost_usd=cost,
            latency_ms=latency_ms,
            trace=(write_ask(Ask(tier=Tier.TEACHER, commit=True, reason=TARGETED)),),
            settings_digest=self.settings.digest,
            attempts=_write_attempts(interaction_id, question.model, attempts, bills, version),
        )


def _read(reply: Reply | None) -> tuple[Answer | None, Usage | None, str | None]:
    """What was said, what it took, and by which version of the model."""
    if reply is None:
        return None, None, None
    model, choices = reply.payload.get("model"), reply.payload["choices"]
    version = model if isinstance(model, str) else None
    usage = Usage.from_openai(reply.payload.get("usage"))
    if not choices:
        return None, usage, version
    finish = choices[0].get("finish_reason")
    message = choices[0].get("message") or {}
    return (
        answer_from_message(message, finish if isinstance(finish, str) else None),
        usage,
        version,
    )


def _write_attempts(
    interaction_id: str,
    model: str,
    tries: Sequence[AttemptLog],
    bills: Sequence[Bill],
    version: str | None,
) -> tuple[Attempt, ...]:
    return tuple(
        write_attempt(
            one,
            bill,
            interaction_id=interaction_id,
            n=n,
            tier=Tier.TEACHER,
            model=model,
            purpose="answer",
            version=version,
        )
        for n, (one, bill) in enumerate(zip(tries, bills, strict=True))
    )
