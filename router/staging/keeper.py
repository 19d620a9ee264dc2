"""Collects what live traffic says about the candidates on trial. No request waits for it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from policies.compare import get_comparer
from policies.promise.accuracy import checks_draft
from policies.types import Answer, Tier
from router.drafting import Drafter
from router.evidence.format import find_format_fault
from router.record.model import Interaction
from router.record.stages import Kind
from router.release import Release
from router.staging.stage import Met, Sighting
from router.wire.openai import ChatRequest, shape_of
from router.wire.profile import profile_of

_log = logging.getLogger("tutelage.staging")

_MOST_SHADOWS = 8
"""Drafts in the shadow that may be under way; what comes beyond them isn't looked at."""

_MOST_WAITING = 10_000


@dataclass(frozen=True, kw_only=True)
class OnTrial:
    """A candidate and the release it is held against, as they are in force here. ``share``: of
    the interactions it drafts for; ``since``: seconds since the epoch from which that has held."""

    kind: Kind
    candidate: Release
    in_force: Release
    share: float
    since: float


class Drafted(Protocol):
    """What is read of an interaction beside its record. ``draft``, ``teacher_answer``: what was
    said, as far as it was; ``draft_ms``: how long the draft took."""

    @property
    def request(self) -> ChatRequest: ...
    @property
    def draft(self) -> Answer | None: ...
    @property
    def teacher_answer(self) -> Answer | None: ...
    @property
    def draft_ms(self) -> float: ...


class Staging:
    """Sightings by candidate, until they are stored. Used from one event loop.

    ``drafter``: makes the drafts in the shadow, None where none are made. ``background``: where its
    tasks are kept until they end.
    """

    def __init__(
        self, drafter: Drafter | None = None, background: set[asyncio.Task[None]] | None = None
    ) -> None:
        self._drafter = drafter
        self._background = set() if background is None else background
        self._trials: Mapping[str, OnTrial] = {}
        self._seen: dict[str, list[Sighting]] = {}
        self._shadows = 0

    @property
    def trials(self) -> Mapping[str, OnTrial]:
        """What is on trial here, by workload."""
        return self._trials

    def follow(self, trials: Mapping[str, OnTrial]) -> None:
        """From now on these are on trial."""
        self._trials = dict(trials)

    def take(self) -> dict[str, list[Sighting]]:
        """What was seen since the last call, by the candidate's digest."""
        seen, self._seen = self._seen, {}
        return seen

    def observe(self, record: Interaction, drafted: Drafted) -> None:
        """One interaction is over. Never blocks."""
        trial = self._trials.get(record.workload)
        if trial is None or not _tells(record, trial):
            return
        if trial.kind == "shadow" and self._shadows >= _MOST_SHADOWS:
            return  # also where nothing is to be drafted: what is left out must not hang on that
        body, teacher = drafted.request.body, drafted.teacher_answer
        profile = profile_of(body)
        # Where only one of them may draft, nothing can be compared.
        if not trial.candidate.knows(profile) or not trial.in_force.knows(profile):
            return
        met = _meet(record, drafted, trial.in_force.comparer)
        if trial.kind == "canary":
            ours = record.release == trial.candidate.digest
            self._put(
                trial,
                record,
                candidate=met if ours else None,
                in_force=None if ours else met,
                share=trial.share,
            )
        elif teacher is None:
            self._put(trial, record)
        elif self._drafter is not None:
            self._shadows += 1
            task = asyncio.create_task(self._shadow(trial, record, body, teacher, met))
            self._background.add(task)
            task.add_done_callback(self._background.discard)

    def _put(self, trial: OnTrial, record: Interaction, **met: Any) -> None:
        sighting = Sighting(
            candidate=met.get("candidate"),
            in_force=met.get("in_force"),
            seen=record.seen,
            propensity=record.propensity,
            floor=record.floor,
            share=met.get("share"),
        )
        seen = self._seen.setdefault(trial.candidate.digest, [])
        if len(seen) < _MOST_WAITING:
            seen.append(sighting)

    async def _shadow(
        self,
        trial: OnTrial,
        record: Interaction,
        body: Mapping[str, Any],
        teacher: Answer,
        in_force: Met,
    ) -> None:
        """What the candidate would have said, held against what the teacher said."""
        shape, comparer = shape_of(body), trial.in_force.comparer
        began_s = time.perf_counter()
        answer: Answer | None = None
        try:
            if self._drafter is not None:
                answer = (await self._drafter.draft(body, trial.candidate)).answer
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is what is to be found out
            _log.warning("The candidate of %s failed: %s", record.workload, error)
        finally:
            self._shadows -= 1
        took_ms = 1000 * (time.perf_counter() - began_s)
        agrees = answer is not None and get_comparer(comparer).agrees(teacher, answer, shape)
        candidate = Met(
            failed=answer is None,
            fault=answer is not None and find_format_fault(shape, comparer, answer) is not None,
            wrong=not agrees,
            fit=False,
            took_ms=took_ms,
        )
        self._put(trial, record, candidate=candidate, in_force=in_force)


NO_STAGING: Final = Staging()
"""Where nothing is ever on trial, such as in a replay."""


def _tells(record: Interaction, trial: OnTrial) -> bool:
    """Whether a coin decided who drafted and what is seen of it, so that it counts for both alike.

    Not where the teacher was asked and didn't answer, nor where a client named who answers.
    """
    drafters = {trial.in_force.digest}
    if trial.kind == "canary":
        drafters.add(trial.candidate.digest)
    certain = record.propensity >= 1.0 and not record.seen
    return (
        record.release in drafters
        and record.created_at >= trial.since
        and not certain
        and record.floor > 0.0
    )


def _meet(record: Interaction, drafted: Drafted, comparer: str) -> Met:
    shape, draft = shape_of(drafted.request.body), drafted.draft
    return Met(
        failed=draft is None,
        fault=draft is not None and find_format_fault(shape, comparer, draft) is not None,
        wrong=record.draft_agreed is not True,
        fit=record.tier is Tier.STUDENT or checks_draft(record.reason, record.propensity),
        took_ms=drafted.draft_ms,
    )
