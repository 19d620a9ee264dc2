"""Interactions as evidence for a promise on accuracy: joined with what the application said.

A verdict comes late, and who is wrong may be told of sooner than who is right. So interactions are
read in their order, and none before all that were drawn for a verdict earlier have got one or are
overdue: what has come out can't change which are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import RowMapping, ScalarSelect, Select, func, select

from policies.compare import get_comparer
from policies.promise.accuracy import VERDICT
from policies.types import Answer, Trial
from router.record import rows
from router.record.database import Database
from router.record.model import Interaction, Json
from router.record.redact import is_redacted
from router.record.schema import feedback, interactions, promise_state
from router.wire.openai import answer_from_json, shape_of

_PAGE: Final = 500
_NONE_PENDING: Final = 2**62
_COLUMNS: Final = (
    *rows.TRIAL_COLUMNS,
    *(interactions.c[name] for name in ("created_at", "comparer", "request", "draft")),
    interactions.c.teacher_answer,
    *(feedback.c[name] for name in ("score", "correction", "at")),
)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What the application's verdict makes of both answers."""

    draft_wrong: bool
    teacher_wrong: bool


SILENCE: Final = Judged(draft_wrong=True, teacher_wrong=True)
_UNJUDGED: Final = Judged(draft_wrong=False, teacher_wrong=False)


def judge(
    *,
    score: float | None,
    correction: str | None,
    comparer: str,
    request: Mapping[str, Json] | None,
    draft: Mapping[str, Json] | None,
    teacher_answer: Mapping[str, Json] | None,
    draft_agreed: bool | None,
) -> Judged:
    """Which answers are right, where the teacher's was delivered; in doubt wrong.

    A correction says what is right: what the comparer finds equal to it. One in which something was
    redacted equals nothing, since something else may have stood there. Without one, a score above 0
    says that the teacher's answer is right, and so is a draft that agrees with it.
    """
    if correction is None:
        right = score is not None and score > 0.0
        return Judged(draft_wrong=not (right and draft_agreed is True), teacher_wrong=not right)
    if is_redacted(correction):
        return SILENCE
    expected, shape = Answer(content=correction, finish_reason="stop"), shape_of(request or {})
    try:
        agrees = get_comparer(comparer).agrees
    except ValueError:  # of another version
        return SILENCE

    def is_wrong(given: Mapping[str, Json] | None) -> bool:
        if given is None:
            return True
        try:
            answer = answer_from_json(given)
        except ValueError:  # written by another version
            return True
        return not agrees(expected, answer, shape)

    return Judged(draft_wrong=is_wrong(draft), teacher_wrong=is_wrong(teacher_answer))


class VerdictBook:
    """Reads interactions with their verdicts."""

    _database: Database
    _clock: Callable[[], float]

    def judged_trials(
        self, workload: str, within_s: float, after_seq: int = 0
    ) -> Iterator[tuple[int, Trial]]:
        """Evidence about accuracy with its seq, oldest first, up to the first interaction whose
        verdict is neither there nor overdue. Interactions for which no coin fell are none."""
        while True:
            pending = self._find_pending(workload, within_s, after_seq)
            seq = interactions.c.seq
            page = _select(workload).where(
                seq > after_seq, seq < func.coalesce(pending, _NONE_PENDING)
            )
            with self._database.read() as connection:
                found = connection.execute(page.order_by(seq).limit(_PAGE)).mappings().all()
            for row in found:
                trial = _to_trial(row, within_s)
                if trial is not None:
                    yield row["seq"], trial
            if len(found) < _PAGE:
                return
            after_seq = found[-1]["seq"]

    def latest_judged(
        self, workload: str, limit: int, within_s: float, release: str | None = None
    ) -> list[Trial]:
        """The newest that the workload's account has taken in, oldest first; with ``release``,
        those that it drafted."""
        return self._settled(workload, limit, within_s, release, newest=True)[::-1]

    def first_judged(self, workload: str, limit: int, within_s: float, release: str) -> list[Trial]:
        """The first that the release drafted, of those that the account has taken in."""
        return self._settled(workload, limit, within_s, release, newest=False)

    def waits_for_verdict(self, record: Interaction, within_s: float) -> bool:
        """Whether one about this interaction, which was drawn, could still be given."""
        said = (feedback.c.score.is_not(None)) | (feedback.c.correction.is_not(None))
        query = select(feedback.c.at).where(feedback.c.interaction_id == record.id, said)
        with self._database.read() as connection:
            given = connection.execute(query).one_or_none() is not None
        return not given and self._clock() < record.created_at + within_s

    def _settled(
        self, workload: str, limit: int, within_s: float, release: str | None, *, newest: bool
    ) -> list[Trial]:
        seq = interactions.c.seq
        query = _select(workload).where(seq <= self._find_upto(workload))
        if release is not None:
            query = query.where(interactions.c.release == release)
        query = query.order_by(seq.desc() if newest else seq).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
        judged = (_to_trial(row, within_s) for row in found)
        return [trial for trial in judged if trial is not None]

    def _find_upto(self, workload: str) -> int:
        table = promise_state.c
        query = select(table.upto_seq).where(table.workload == workload)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar_one_or_none() or 0)

    def _find_pending(self, workload: str, within_s: float, after_seq: int) -> ScalarSelect[int]:
        """The first interaction after ``after_seq`` that waits for its verdict."""
        drawn = interactions.alias()
        return (
            select(drawn.c.seq)
            .outerjoin(feedback, feedback.c.interaction_id == drawn.c.id)
            .where(
                *(drawn.c.workload == workload, drawn.c.seq > after_seq),
                *(drawn.c.level.is_not(None), drawn.c.reason == VERDICT, drawn.c.seen),
                drawn.c.created_at > self._clock() - within_s,
                feedback.c.score.is_(None),
                feedback.c.correction.is_(None),
            )
            .order_by(drawn.c.seq)
            .limit(1)
            .scalar_subquery()
        )


def _select(workload: str) -> Select[Any]:
    table = interactions.c
    return (
        select(*_COLUMNS)
        .outerjoin(feedback, feedback.c.interaction_id == table.id)
        .where(table.workload == workload, table.level.is_not(None))
    )


def _to_trial(row: RowMapping, within_s: float) -> Trial | None:
    """What an interaction says about accuracy; None where it couldn't be drawn."""
    shares = [step["verdict_share"] for step in row["trace"] if "verdict_share" in step]
    if not shares:
        return None
    drawn = any(step["reason"] == VERDICT for step in row["trace"])
    trial = rows.to_trial(row)
    judged = _judge_row(row, within_s) if drawn and trial.seen else _UNJUDGED
    return replace(
        trial,
        seen=drawn and trial.seen,
        wrong=judged.draft_wrong,
        teacher_wrong=judged.teacher_wrong,
        propensity=shares[0],
        floor=shares[0],
        failed=drawn and not trial.seen,
        disagreed=trial.wrong if trial.seen else None,
    )


def _judge_row(row: RowMapping, within_s: float) -> Judged:
    if row["at"] is None or row["at"] > row["created_at"] + within_s:
        return SILENCE
    return judge(
        score=row["score"],
        correction=row["correction"],
        comparer=row["comparer"],
        request=row["request"],
        draft=row["draft"],
        teacher_answer=row["teacher_answer"],
        draft_agreed=row["draft_agreed"],
    )
