"""Records to rows of the tables, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import RowMapping, exists

from policies.promise.policy import PROOF_FAILED, TEACHER_FAILED
from policies.purse import Payment
from policies.types import Tier, Trial
from router.meter.prices import Usage
from router.record.model import (
    Attempt,
    Cycle,
    Decision,
    Interaction,
    Release,
    TrainingRow,
    read_slices,
)
from router.record.schema import attempts, interactions

_CONTENT: Final = ("request", "answer", "teacher_answer", "draft")
_PLAIN: Final = tuple(f.name for f in fields(Interaction) if f.name not in ("attempts", "trace"))
TOKENS: Final = tuple(f.name for f in fields(Usage))
"""The columns of a usage."""

_NO_USAGE: Final[dict[str, Any]] = dict.fromkeys(TOKENS)

_ATTEMPT: Final = tuple(f.name for f in fields(Attempt) if f.name != "usage")
_TRAINING: Final = tuple(f.name for f in fields(TrainingRow))

_DECISION: Final = tuple(f.name for f in fields(Decision) if f.name != "audited")

DECISION_COLUMNS: Final = (
    *(interactions.c[name] for name in ("seq", "teacher_cost_estimated", *_DECISION)),
    exists()
    .where(attempts.c.interaction_id == interactions.c.id, attempts.c.purpose == "audit")
    .label("audited"),
)
"""What ``to_decision`` needs."""

TRIAL_COLUMNS: Final = tuple(
    interactions.c[name]
    for name in (
        *("seq", "tier", "reason", "level", "seen", "draft_agreed", "propensity", "floor"),
        *("confidence", "evidence", "release", "teacher_version", "trace"),
    )
)
"""What ``to_trial`` needs."""

TRAINING_COLUMNS: Final = tuple(interactions.c[name] for name in _TRAINING)
"""What ``to_training_row`` needs."""


def from_interaction(record: Interaction) -> dict[str, Any]:
    """The row of an interaction. One that isn't stored loses its content here, at the latest."""
    row = vars(record).copy()  # quicker than field by field
    del row["attempts"]
    row["tier"] = str(record.tier)
    row["trace"] = list(record.trace)
    row["evidence"] = dict(record.evidence)
    if not record.stored:
        row.update(dict.fromkeys(_CONTENT), input_text="", train_ok=False)
    row["trainable"] = row["train_ok"] and row["teacher_answer"] is not None
    return row


def from_attempt(attempt: Attempt) -> dict[str, Any]:
    """The row of an attempt."""
    row = vars(attempt).copy()
    usage = row.pop("usage")
    row["tier"] = str(attempt.tier)
    row["rates"] = None if attempt.rates is None else dict(attempt.rates)
    return row | (_NO_USAGE if usage is None else vars(usage))


def to_interaction(row: RowMapping, attempts: Sequence[RowMapping]) -> Interaction:
    """The interaction of a row and its attempts' rows in order."""
    values = {name: row[name] for name in _PLAIN}
    values["tier"] = Tier(row["tier"])
    return Interaction(
        **values, trace=tuple(row["trace"]), attempts=tuple(_to_attempt(a) for a in attempts)
    )


def _to_attempt(row: RowMapping) -> Attempt:
    values = {name: row[name] for name in _ATTEMPT}
    return Attempt(**{**values, "tier": Tier(values["tier"])}, usage=to_usage(row))


def to_usage(row: RowMapping) -> Usage | None:
    """The usage in a row that holds ``TOKENS``; None where it is unknown."""
    if row["prompt_tokens"] is None:
        return None
    return Usage(**{name: row[name] for name in TOKENS})


def to_training_row(row: RowMapping) -> TrainingRow:
    """The training row of a row that holds ``TRAINING_COLUMNS``."""
    return TrainingRow(**{**row, "tier": Tier(row["tier"])})


def to_trial(row: RowMapping) -> Trial:
    """What an interaction says about a certificate; needs its level to be known.

    A draft that couldn't be compared counts as wrong: in doubt, disagreement.
    """
    return Trial(
        level=row["level"],
        seen=row["seen"],
        wrong=row["draft_agreed"] is not True,
        propensity=row["propensity"],
        floor=row["floor"],
        failed=teacher_failed(row["tier"], row["reason"], row["seen"]),
        served=row["tier"] != Tier.TEACHER,
        confidence=row["confidence"],
        nearest=row["evidence"].get("nearest"),
        release=row["release"],
        teacher_version=row["teacher_version"],
        slices=read_slices(row["trace"]),
    )


def to_decision(row: RowMapping) -> Decision:
    """The decision of a row that holds ``DECISION_COLUMNS``."""
    values: dict[str, Any] = {name: row[name] for name in _DECISION}
    values["tier"] = Tier(row["tier"])
    if row["teacher_cost_estimated"]:
        values["teacher_cost_usd"] = None
    return Decision(**values, audited=bool(row["audited"]))


def to_payment(row: RowMapping) -> Payment:
    """What an interaction means to a purse; needs what ``to_trial`` needs, its cost and time."""
    return Payment(trial=to_trial(row), cost_usd=row["cost_usd"], at_s=row["created_at"])


def teacher_failed(tier: str, reason: str, seen: bool) -> bool:
    """Whether the teacher was asked in the foreground and gave no answer of its own."""
    return (tier == Tier.TEACHER and not seen) or reason in (PROOF_FAILED, TEACHER_FAILED)


def to_release(row: RowMapping) -> Release:
    """The release of a row."""
    return Release(**row)


def to_cycle(row: RowMapping) -> Cycle:
    """The cycle of a row."""
    values: Mapping[str, Any] = {name: row[name] for name in row if name != "seq"}
    return Cycle(**values)
