"""The facts of an interaction that is over, from its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from policies.types import Tier
from router.deps import Deps
from router.errors import ReleaseError
from router.explain.context import (
    describe_standing,
    find_account,
    find_promise,
    find_skip,
    list_levels,
    write_usd,
)
from router.explain.explanation import Facts, Level
from router.record.model import Attempt, Interaction, read_slices
from router.record.store import Store
from router.release import Release, load_release
from router.workload import find_settings

_SKIPS = ("not_cascadable", "no_release")


def read_interaction(deps: Deps, record: Interaction, *, with_standing: bool = True) -> Facts:
    """What was recorded; the promise's standing is today's. Blocks.

    ``with_standing``: off the event loop of a gateway that serves, leave it out: the promise's
    account may change while it is read. The risk levels go with it.
    """
    settings = find_settings(deps.settings, record.workload)
    promise = find_promise(settings) if with_standing else None
    account = None
    if with_standing:
        account = find_account(deps.promises, record.workload, settings)
    active = deps.releases.get(record.workload)
    release, notes = _find_release(deps.store, record.release)
    levels = list_levels(account, release)
    standing = None
    if promise is not None and account is not None:
        estimate = deps.teacher_costs.estimate(record.workload)
        standing = describe_standing(
            *(deps.store, record.workload, promise, account, active, estimate),
            deps.promises.slices(record.workload),
            deps.promises.pools.read(record.workload),
        )
    return Facts(
        subject="interaction",
        id=record.id,
        workload=record.workload,
        policy="teacher" if settings is None else settings.effective_policy,
        tier=str(record.tier),
        model=record.model,
        reason=record.reason,
        steps=record.trace,
        release=record.release,
        skipped=_find_skip(record, active),
        confidence=record.confidence,
        signals=record.evidence,
        threshold=record.threshold,
        level=record.level + 1 if record.level is not None and levels else None,
        level_in_force=_find_level_in_force(record.threshold, levels),
        levels=levels,
        propensity=record.propensity,
        floor=record.floor,
        costs={
            "usd": write_usd(record.cost_usd),
            "teacher_usd": write_usd(record.teacher_cost_usd),
        },
        standing=standing,
        recorded=_write_record(record),
        slices=tuple(one.name for one in read_slices(record.trace)),
        notes=(*notes, *_find_gaps(record, deps.settings.digest)),
    )


def _find_release(store: Store, digest: str | None) -> tuple[Release | None, Sequence[str]]:
    """The release that drafted; a note where it can't be read any more."""
    row = None if digest is None else store.release(digest)
    if row is None:
        return None, ()
    try:
        return load_release(Path(row.path)), ()
    except ReleaseError as error:
        return None, (f"The thresholds of its release can't be told: {error}",)


def _find_skip(record: Interaction, active: Release | None) -> str | None:
    """Why there was no draft, as it looks by the release that is in force now."""
    if record.reason not in _SKIPS:
        return None
    if record.reason == "no_release":
        return "no release with a student was in force for this workload"
    if record.request is None:
        return "which part of the request is to blame can't be told: it wasn't stored"
    found = find_skip(record.request, active)
    return found or "the release then in force wasn't learned from such requests"


def _find_level_in_force(threshold: float | None, levels: Sequence[Level]) -> int | None:
    """The laxest level with this threshold: the record holds the threshold alone."""
    fits = [level.number for level in levels if level.threshold == threshold is not None]
    return max(fits, default=None)


def _find_gaps(record: Interaction, settings_digest: str) -> list[str]:
    notes = []
    if not record.stored:
        notes.append("Request and answers weren't stored (store: false), only the decision.")
    if record.settings_digest != settings_digest:
        notes.append(
            "The configuration has changed since: policy and standing are those of today's."
        )
    return notes


def _write_record(record: Interaction) -> dict[str, Any]:
    saved = None
    if record.tier is not Tier.TEACHER and record.teacher_cost_usd and record.cost_usd is not None:
        saved = record.teacher_cost_usd - record.cost_usd
    return {
        "created_at": record.created_at,
        "status": record.status,
        "stored": record.stored,
        "text": record.input_text,
        "answer": record.answer,
        "draft": record.draft,
        "teacher_answer": record.teacher_answer,
        "comparer": record.comparer,
        "seen": record.seen,
        "agreed": record.agreed,
        "draft_agreed": record.draft_agreed,
        "saved_usd": write_usd(saved),
        "teacher_cost_estimated": record.teacher_cost_estimated,
        "latency_ms": record.latency_ms,
        "overhead_ms": record.overhead_ms,
        "first_token_ms": record.first_token_ms,
        "attempts": [_write_attempt(attempt) for attempt in record.attempts],
    }


def _write_attempt(attempt: Attempt) -> Mapping[str, Any]:
    return {
        "tier": str(attempt.tier),
        "model": attempt.model,
        "upstream_model": attempt.upstream_model,
        "purpose": attempt.purpose,
        "status": attempt.status,
        "error": attempt.error,
        "latency_ms": attempt.latency_ms,
        "usage": None if attempt.usage is None else asdict(attempt.usage),
        "cost_usd": write_usd(attempt.cost_usd),
    }
