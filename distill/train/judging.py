"""The gate of a student that was trained here: its drafts for questions that were held out, made
through its own servers as the gateway would have them made, judged by the teacher's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distill.dataset.model import MIN_ANSWERS, Example
from distill.train.gate_alone import fit_over
from policies.compare import get_comparer
from policies.fit.gate import NothingToCalibrate
from policies.scoring.gate import Gate
from router.errors import ConfigError, ReleaseError, TutelageError
from router.generative.adapters import Residents
from router.generative.drafter import GenerativeDrafter
from router.generative.replicas import build_replicas
from router.generative.student import GenerativeStudent
from router.release import Release
from router.settings.model import Settings
from router.upstream.client import UpstreamClient
from router.upstream.model import CallError
from router.wire.openai import answer_from_json, shape_of

_AT_ONCE = 8
"""Drafts under way: servers batch them."""

_NOT_DRAFTED = ("model", "stream", "stream_options", "user")

Progress = Callable[[int, int], None]


class NoDrafts(TutelageError):
    """The student's servers gave none."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A draft for a held-out question: what was measured on it; ``fit``: it is in the form asked
    for; ``agreed``: with the teacher, which one that isn't doesn't."""

    example: Example
    signals: dict[str, float]
    fit: bool
    agreed: bool


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """``drafts``: all that came; ``gate``: None where there is none, for the reason ``why``;
    ``report``: JSON-ready."""

    drafts: Sequence[Judged]
    gate: Gate | None
    why: str
    report: dict[str, Any]


def judge_held_out(
    settings: Settings, release: Release, held_out: Sequence[Example], *, seed: int, tell: Progress
) -> Judgement:
    """Draft every held-out question as ``release``, which has no gate yet, and fit one.

    Raises NoDrafts or NotResident where the servers give none.
    """
    drafts, failed = asyncio.run(_draft_all(settings, release, held_out, tell))
    # A draft in another form than asked for is never served: the gate needn't tell it.
    judged = [one for one in drafts if one.fit]
    report: dict[str, Any] = {
        "held_out": len(held_out),
        "drafted": len(judged),
        "failed": failed,
        "agreed": sum(one.agreed for one in judged),
    }
    if len(judged) < MIN_ANSWERS:
        why = f"{len(judged)} held-out drafts were judged and {MIN_ANSWERS} are needed"
        return Judgement(drafts=drafts, gate=None, why=why, report=report)
    try:
        over = fit_over(
            [one.signals for one in judged],
            np.asarray([one.agreed for one in judged]),
            np.asarray([one.example.weight for one in judged]),
            seed=seed,
        )
    except NothingToCalibrate as error:
        return Judgement(drafts=drafts, gate=None, why=str(error), report=report)
    fitted = over.fitted
    return Judgement(
        drafts=drafts,
        gate=fitted.gate,
        why="",
        report={**report, "gate": fitted.name, "losses": fitted.losses},
    )


async def _draft_all(
    settings: Settings, release: Release, held_out: Sequence[Example], tell: Progress
) -> tuple[list[Judged], int]:
    """The drafts, and how many failed. Raises as ``judge_held_out``."""
    async with UpstreamClient() as upstream:
        drafter = _build_drafter(settings, upstream)
        await drafter.prepare(release)
        comparer = get_comparer(release.comparer)
        free, judged, failures = asyncio.Semaphore(_AT_ONCE), list[Judged](), list[Exception]()

        async def judge(example: Example) -> None:
            body = {k: v for k, v in example.request.items() if k not in _NOT_DRAFTED}
            async with free:
                try:
                    draft = await drafter.draft(body, release)
                except (CallError, ReleaseError) as error:
                    failures.append(error)
                    return
            teacher = answer_from_json(example.target)
            signals = dict(draft.evidence.signals)
            fit = "format_fault" not in signals
            agreed = fit and comparer.agrees(teacher, draft.answer, shape_of(body))
            judged.append(Judged(example=example, signals=signals, fit=fit, agreed=agreed))
            tell(len(judged) + len(failures), len(held_out))

        async with asyncio.TaskGroup() as group:
            for example in held_out:
                group.create_task(judge(example))
    if held_out and len(failures) == len(held_out):
        raise NoDrafts(f"The student's servers drafted nothing: {failures[0]}")
    # The order in which servers answer must not choose the gate.
    return sorted(judged, key=lambda one: one.example.id), len(failures)


async def check_servers(settings: Settings) -> None:
    """Raises NotResident where no server of the student answers for its base model."""
    async with UpstreamClient() as upstream:
        replicas = build_replicas(settings, upstream)
        if replicas is None:
            raise ConfigError("The configured student has no server.")
        base = GenerativeStudent(base=replicas.targets[0].model)
        await Residents(replicas, upstream).ensure(base)


def _build_drafter(settings: Settings, upstream: UpstreamClient) -> GenerativeDrafter:
    replicas = build_replicas(settings, upstream)
    if replicas is None:
        raise ConfigError("The configured student has no server.")
    return GenerativeDrafter(replicas, Residents(replicas, upstream), replicas.targets[0].model)
