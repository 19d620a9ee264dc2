"""The store: everything that outlives a process, in one database.

Writers append whole batches in one transaction; readers see a consistent state and never block
the writer. ``seq`` numbers interactions in the order of commitment, so "everything after seq" is
all that a follower needs to remember.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, Final

from sqlalchemy import Select, func, insert, select, update
from sqlalchemy.engine import Connection

from policies.purse import Payment
from policies.types import Trial
from router.record import rows
from router.record.alarms import AlarmBook
from router.record.audit import Verdict, verify_ledger
from router.record.bulk import insert_rows, round_up
from router.record.database import Database
from router.record.erasure import Eraser
from router.record.feedback import FeedbackBook
from router.record.history import History
from router.record.keys import KeyBook
from router.record.latency import LatencyBook
from router.record.learning import CycleLog
from router.record.leases import LeaseBook
from router.record.ledger import LedgerBook, enter
from router.record.model import Decision, Interaction, PromiseState, TrainingRow
from router.record.overview import Overview
from router.record.period import PeriodBook
from router.record.policies import PolicyBook
from router.record.rollups import Rollups
from router.record.schema import attempts, interactions, ledger, promise_state
from router.record.search import Search
from router.record.spent import SpentBook
from router.record.stages import StageBook
from router.record.verdicts import VerdictBook

_PAGE = 500
_RECENT = 10_000
_NO_STATES: Final[Mapping[str, PromiseState]] = {}


class Store(
    StageBook,
    CycleLog,
    LeaseBook,
    FeedbackBook,
    KeyBook,
    Eraser,
    Overview,
    Rollups,
    Search,
    History,
    LedgerBook,
    PolicyBook,
    PeriodBook,
    LatencyBook,
    AlarmBook,
    SpentBook,
    VerdictBook,
):
    """Interactions, releases, keys, policies and learning cycles.

    Thread-safe; every method may raise StoreError.

    ``clock`` gives seconds since the epoch. The methods block: call them off the event loop.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    @classmethod
    def open(cls, url: str, clock: Callable[[], float] = time.time) -> Store:
        """Open ``sqlite:///FILE``, ``postgresql://USER@HOST/DATABASE`` or ``:memory:``.

        Tables are created where there are none and brought up to date where they are older. Raises
        StoreError, one sentence, for what can't be used: no database, damaged, read-only, out of
        reach, of a newer schema, of another program.
        """
        return cls(Database.open(url), clock)

    @property
    def url(self) -> str | None:
        """By which another process opens the same store; None where that can't be. It may hold a
        password."""
        return self._database.url

    def close(self) -> None:
        """Release the database; what was in memory is gone."""
        self._database.close()

    @property
    def in_memory(self) -> bool:
        """Whether it ends with its process."""
        return self._database.in_memory

    def append(
        self,
        batch: Sequence[Interaction],
        promise_states: Mapping[str, PromiseState] = _NO_STATES,
    ) -> int:
        """Write interactions with their attempts in order, and promise states by workload.

        All of it in one transaction, or nothing. A state must cover the batch: it is stored as
        reaching to the workload's last interaction. Interactions that are there already are
        skipped, so a batch may be repeated; returns how many were new. Raises what the driver
        raises where a single record can't be stored.
        """
        with self._database.write() as connection:
            present = _present(connection, [record.id for record in batch])
            new = {r.id: r for r in batch if r.id not in present}
            made = [rows.from_interaction(r) for r in new.values()]
            calls = [rows.from_attempt(a) for r in new.values() for a in r.attempts]
            insert_rows(connection, interactions, made)
            insert_rows(connection, attempts, calls)
            if calls:
                enter(connection, [*new.values()])
            for workload, state in promise_states.items():
                _put_state(connection, workload, state)
        return len(new)

    def verify_ledger(self) -> Verdict:
        """Whether interactions and ledger agree, with every row that doesn't."""
        return verify_ledger(self._database)

    def interaction(self, interaction_id: str) -> Interaction | None:
        """One interaction with its attempts."""
        found = self._interactions(select(interactions).where(interactions.c.id == interaction_id))
        return found[0] if found else None

    def latest(self, limit: int, workload: str | None = None) -> list[Interaction]:
        """The newest interactions, newest first."""
        query = select(interactions).order_by(interactions.c.seq.desc()).limit(limit)
        if workload is not None:
            query = query.where(interactions.c.workload == workload)
        return self._interactions(query)

    def walk(self, page: int = _PAGE) -> Iterator[Interaction]:
        """All interactions with their attempts, oldest first, read ``page`` at a time."""
        query = select(interactions).order_by(interactions.c.seq).limit(page)
        after = 0
        while True:
            found = self._interactions(query.where(interactions.c.seq > after))
            yield from found
            if len(found) < page:
                return
            with self._database.read() as connection:
                last = select(interactions.c.seq).where(interactions.c.id == found[-1].id)
                after = connection.execute(last).scalar_one()

    def training_rows(
        self, workload: str, after_seq: int = 0, limit: int | None = None
    ) -> Iterator[TrainingRow]:
        """Teacher answers that may be trained on, oldest first, read page by page."""
        query = select(*rows.TRAINING_COLUMNS).where(
            interactions.c.workload == workload, interactions.c.trainable
        )
        found = (rows.to_training_row(row) for row in self._pages(query, after_seq))
        return islice(found, limit)

    def training_seqs(self, workload: str) -> list[int]:
        """Of ``training_rows``, oldest first."""
        query = select(interactions.c.seq).where(
            interactions.c.workload == workload, interactions.c.trainable
        )
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(interactions.c.seq)))

    def trials(self, workload: str, after_seq: int = 0) -> Iterator[tuple[int, Trial]]:
        """Evidence for a certificate with its seq, oldest first: all interactions with a level."""
        query = select(*rows.TRIAL_COLUMNS).where(
            interactions.c.workload == workload, interactions.c.level.is_not(None)
        )
        return ((row["seq"], rows.to_trial(row)) for row in self._pages(query, after_seq))

    def decisions(
        self, workload: str, release: str, newest: int | None = None
    ) -> Iterator[Decision]:
        """All interactions of a workload since the first draft of a release, oldest first;
        ``newest``: at most that many of them, the last ones."""
        table = interactions.c
        first = select(func.min(table.seq)).where(
            table.workload == workload, table.release == release
        )
        last = select(table.seq).where(table.workload == workload).order_by(table.seq.desc())
        with self._database.read() as connection:
            began = connection.execute(first).scalar_one()
            if newest is not None and began is not None:
                limit = connection.execute(last.offset(newest - 1).limit(1)).scalar_one_or_none()
                began = max(began, limit or began)
        if began is None:
            return iter(())
        query = select(*rows.DECISION_COLUMNS).where(table.workload == workload)
        return (rows.to_decision(row) for row in self._pages(query, began - 1))

    def payments(self, workload: str, after_seq: int = 0) -> Iterator[tuple[int, Payment]]:
        """``trials`` with what each cost and when it began: what a purse takes in."""
        table = interactions.c
        query = select(*rows.TRIAL_COLUMNS, table.cost_usd, table.created_at).where(
            table.workload == workload, table.level.is_not(None)
        )
        return ((row["seq"], rows.to_payment(row)) for row in self._pages(query, after_seq))

    def count_answers(self, workload: str) -> int:
        """How many rows ``training_rows`` has."""
        return self.answers_by_workload().get(workload, 0)

    def answers_by_workload(self) -> dict[str, int]:
        """``count_answers`` of every workload that has any."""
        query = (
            select(interactions.c.workload, func.count())
            .where(interactions.c.trainable)
            .group_by(interactions.c.workload)
        )
        with self._database.read() as connection:
            return dict(connection.execute(query).all())

    def workloads(self) -> list[str]:
        """All workloads that have interactions, sorted."""
        query = select(interactions.c.workload).distinct().order_by(interactions.c.workload)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def teacher_costs(self) -> dict[str, tuple[Decimal, int]]:
        """Per workload, USD and number of the teacher's priced answers, among the newest 10,000
        interactions: what ``TeacherCostEstimator.seed`` takes after a restart."""
        table = interactions.c
        recent = (
            select(table.workload, table.teacher_cost_usd, table.teacher_cost_estimated)
            .order_by(table.seq.desc())
            .limit(_RECENT)
            .subquery()
        )
        query = (
            select(recent.c.workload, func.sum(recent.c.teacher_cost_usd), func.count())
            .where(recent.c.teacher_cost_usd.is_not(None), ~recent.c.teacher_cost_estimated)
            .group_by(recent.c.workload)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return {workload: (total, count) for workload, total, count in found}

    def promise_state(self, workload: str) -> PromiseState | None:
        """The last certificate state that was written for a workload."""
        with self._database.read() as connection:
            row = connection.execute(_state_of(workload)).one_or_none()
        if row is None:
            return None
        return PromiseState(terms=row.terms, state=row.state, upto_seq=row.upto_seq)

    def begin_promise(self, workload: str, fresh: PromiseState) -> PromiseState:
        """The state that is stored for the same terms; where there is none, ``fresh``, stored as
        reaching to the workload's last interaction. Of several callers the first one decides."""
        with self._database.write() as connection:
            found = connection.execute(_state_of(workload)).one_or_none()
            if found is None or found.terms != fresh.terms:
                _put_state(connection, workload, fresh)
                found = connection.execute(_state_of(workload)).one()
        return PromiseState(terms=found.terms, state=found.state, upto_seq=found.upto_seq)

    def keep_promise(self, workload: str, state: PromiseState) -> None:
        """Store a state that reaches to ``state.upto_seq``, unless one reaches further."""
        older = (
            (promise_state.c.workload == workload)
            & (promise_state.c.terms == state.terms)
            & (promise_state.c.upto_seq < state.upto_seq)
        )
        values = {"state": dict(state.state), "upto_seq": state.upto_seq}
        with self._database.write() as connection:
            connection.execute(update(promise_state).where(older).values(values))

    def _interactions(self, query: Select[Any]) -> list[Interaction]:
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
            calls: dict[str, list[Any]] = {row["id"]: [] for row in found}
            of_found = (
                select(attempts)
                .where(attempts.c.interaction_id.in_(list(calls)))
                .order_by(attempts.c.n)
            )
            for call in connection.execute(of_found).mappings():
                calls[call["interaction_id"]].append(call)
        return [rows.to_interaction(row, calls[row["id"]]) for row in found]

    def _pages(self, query: Select[Any], after_seq: int) -> Iterator[Any]:
        """Rows of ``query`` in the order of seq; no transaction stays open between pages."""
        table = interactions.c
        while True:
            page = query.where(table.seq > after_seq).order_by(table.seq).limit(_PAGE)
            with self._database.read() as connection:
                found = connection.execute(page).mappings().all()
            yield from found
            if len(found) < _PAGE:
                return
            after_seq = found[-1]["seq"]


def _present(connection: Connection, ids: Sequence[str]) -> set[str]:
    """Those that are stored, or were until they were purged: they stay in the ledger."""
    present: set[str] = set()
    for start in range(0, len(ids), _PAGE):
        chunk = round_up(ids[start : start + _PAGE])
        for column in (interactions.c.id, ledger.c.interaction_id):
            present.update(connection.scalars(select(column).where(column.in_(chunk))))
    return present


def _state_of(workload: str) -> Select[Any]:
    table = promise_state.c
    return select(table.terms, table.state, table.upto_seq).where(table.workload == workload)


def _put_state(connection: Connection, workload: str, state: PromiseState) -> None:
    last = select(func.max(interactions.c.seq)).where(interactions.c.workload == workload)
    values = {
        "terms": state.terms,
        "state": dict(state.state),
        "upto_seq": connection.execute(last).scalar_one() or 0,
    }
    change = update(promise_state).where(promise_state.c.workload == workload).values(values)
    if connection.execute(change).rowcount == 0:
        connection.execute(insert(promise_state).values(workload=workload, **values))
