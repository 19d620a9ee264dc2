"""What an outlook reads of the store: recent evidence, and questions that were asked twice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, func, select

from policies.compare.fold import fold_label
from policies.types import Tier, Trial
from router.record import rows
from router.record.database import Database
from router.record.schema import attempts, interactions
from router.settings.model import STUDENT_KEY

_PAGE = 500
_TWIN: Final = (
    *("id", "input_text", "request", "teacher_answer"),
    *("teacher_model", "teacher_version", "comparer"),
)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One interaction in which the teacher answered; ``request``: the body as stored, redacted."""

    id: str
    input_text: str
    request: Mapping[str, Any]
    teacher_answer: Mapping[str, Any]
    teacher_model: str | None
    teacher_version: str | None
    comparer: str


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What the teacher answered to whom, and when, in seconds since the epoch; the texts as stored,
    redacted."""

    created_at: float
    tenant: str
    request: Mapping[str, Any]
    teacher_answer: Mapping[str, Any]
    teacher_model: str | None
    teacher_version: str | None
    comparer: str


@dataclass(frozen=True, kw_only=True)
class Unasked:
    """One interaction that a student answered and about which the teacher was never asked;
    ``request``: the body as stored, redacted."""

    id: str
    created_at: float
    tenant: str
    key_name: str
    input_text: str
    request: Mapping[str, Any]


class History:
    """Reads single interactions of a workload as evidence."""

    _database: Database

    def latest_trials(self, workload: str, limit: int, release: str | None = None) -> list[Trial]:
        """The newest trials, oldest first; with ``release``, those that it drafted."""
        newest = _trials_of(workload, release).order_by(interactions.c.seq.desc()).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(newest).mappings().all()
        return [rows.to_trial(row) for row in reversed(found)]

    def first_trials(self, workload: str, limit: int, release: str) -> list[Trial]:
        """The first trials that the release drafted, in order."""
        oldest = _trials_of(workload, release).order_by(interactions.c.seq).limit(limit)
        with self._database.read() as connection:
            return [rows.to_trial(row) for row in connection.execute(oldest).mappings()]

    def trial_from_end(
        self, workload: str, back: int, upto_seq: int | None = None
    ) -> tuple[int, float] | None:
        """(seq, seconds since the epoch) of the trial before the newest ``back`` ones; of those up
        to ``upto_seq``, where given. None where it isn't there (any more)."""
        table = interactions.c
        query = select(table.seq, table.created_at).where(
            table.workload == workload, table.level.is_not(None)
        )
        if upto_seq is not None:
            query = query.where(table.seq <= upto_seq)
        query = query.order_by(table.seq.desc()).offset(back).limit(1)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (row.seq, row.created_at)

    def count_answers_after(self, workload: str, seq: int) -> int:
        """Answers that may be trained on, stored after this one."""
        table = interactions.c
        query = select(func.count()).where(
            table.workload == workload, table.trainable, table.seq > seq
        )
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def count_by_reason(self, workload: str, reason: str) -> int:
        """How many interactions had this reason."""
        table = interactions.c
        query = select(func.count()).where(table.workload == workload, table.reason == reason)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one())

    def draft_versions(self, workload: str) -> dict[str, str]:
        """By interaction, what the student's server called the model that drafted."""
        call = attempts.c
        query = (
            select(call.interaction_id, call.upstream_model)
            .join(interactions, interactions.c.id == call.interaction_id)
            .where(interactions.c.workload == workload, interactions.c.trainable)
            .where(
                call.purpose == "draft",
                call.model == STUDENT_KEY,
                call.upstream_model.is_not(None),
            )
        )
        with self._database.read() as connection:
            return {row.interaction_id: row.upstream_model for row in connection.execute(query)}

    def draft_costs(self, workload: str, newest: int) -> dict[str, tuple[Decimal, int]]:
        """By model, USD and number of drafts of known cost, among the newest interactions."""
        table, call = interactions.c, attempts.c
        recent = (
            select(table.id)
            .where(table.workload == workload)
            .order_by(table.seq.desc())
            .limit(newest)
            .subquery()
        )
        query = (
            select(call.model, func.sum(call.cost_usd), func.count())
            .join(recent, recent.c.id == call.interaction_id)
            .where(call.purpose == "draft", call.basis == "answer", call.cost_usd > Decimal(0))
            .group_by(call.model)
        )
        with self._database.read() as connection:
            return {model: (usd, n) for model, usd, n in connection.execute(query)}

    def traces(
        self, workload: str, newest: int, *, since_s: float = 0.0
    ) -> list[tuple[Sequence[Mapping[str, Any]], float]]:
        """(trace, propensity) of the newest interactions whose drafts were held against a teacher's
        answer, from since then, oldest first; only what is stored with its content."""
        table = interactions.c
        query = (
            select(table.trace, table.propensity)
            .where(
                *_stored_with_answer(workload),
                table.created_at >= since_s,
            )
            .order_by(table.seq.desc())
            .limit(newest)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return [(row.trace, row.propensity) for row in reversed(found)]

    def asked_again(self, workload: str, limit: int) -> list[list[Asked]]:
        """Of the newest ``limit`` interactions that the teacher answered: those whose texts were
        asked more than once (case and space folded), grouped by text, oldest first."""
        table = interactions.c
        answered = (
            select(table.seq, table.input_text)
            .where(
                *_stored_with_answer(workload),
                table.input_text != "",
            )
            .order_by(table.seq.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            groups: dict[str, list[int]] = defaultdict(list)
            for seq, text in connection.execute(answered):
                groups[fold_label(text) or text].append(seq)
            repeated = (seqs for seqs in groups.values() if len(seqs) > 1)
            wanted = sorted(seq for seqs in repeated for seq in seqs)
            found: dict[str, list[Asked]] = defaultdict(list)
            for start in range(0, len(wanted), _PAGE):
                page = (
                    select(*(table[name] for name in _TWIN))
                    .where(
                        table.seq.in_(wanted[start : start + _PAGE]),
                        table.request.is_not(None),
                        table.teacher_answer.is_not(None),
                    )
                    .order_by(table.seq)
                )
                for row in connection.execute(page).mappings():
                    found[fold_label(row["input_text"]) or row["input_text"]].append(Asked(**row))
        return [group for group in found.values() if len(group) > 1]

    def answered(
        self, workload: str, limit: int, *, since_s: float, settings_digest: str
    ) -> list[Answered]:
        """The newest ``limit`` answers of the teacher that are stored with their requests, given
        since then under this configuration, oldest first."""
        table = interactions.c
        newest = (
            select(*(table[field.name] for field in fields(Answered)))
            .where(
                *_stored_with_answer(workload),
                table.created_at >= since_s,
                table.settings_digest == settings_digest,
                table.request.is_not(None),
                table.teacher_answer.is_not(None),
            )
            .order_by(table.seq.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            found = connection.execute(newest).mappings().all()
        return [Answered(**row) for row in reversed(found)]

    def unasked(self, workload: str, limit: int) -> list[Unasked]:
        """The newest ``limit`` interactions that a student answered and the teacher didn't, not
        even for a check, and that may be trained on once it does, newest first."""
        table = interactions.c
        newest = (
            select(*(table[field.name] for field in fields(Unasked)))
            .where(
                table.workload == workload,
                table.tier == str(Tier.STUDENT),
                table.status == "ok",
                table.train_ok,
                table.teacher_answer.is_(None),
                table.request.is_not(None),
                table.input_text != "",
            )
            .order_by(table.seq.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [Unasked(**row) for row in connection.execute(newest).mappings()]


def _trials_of(workload: str, release: str | None) -> Select[Any]:
    table = interactions.c
    query = select(*rows.TRIAL_COLUMNS).where(table.workload == workload, table.level.is_not(None))
    return query if release is None else query.where(table.release == release)


def _stored_with_answer(workload: str) -> tuple[ColumnElement[bool], ...]:
    """Interactions whose teacher's answer came, and is kept with its content."""
    table = interactions.c
    return table.workload == workload, table.seen, table.status == "ok", table.stored
