"""The learning side of the store: releases with what was done to them, and learning cycles."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from math import inf
from typing import Any, Final

from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import Connection, RowMapping

from router.errors import StoreError
from router.record import rows
from router.record.database import Database
from router.record.leases import give_back, take
from router.record.model import Cycle, Release, ReleaseAction, ReleaseEvent
from router.record.schema import cycles, release_events, releases

_NEAR: Final = {"active": 1, "shadow": 1, "canary": 1, "candidate": 1, "retired": 2}

_NOTHING: Final[Mapping[str, Any]] = {}


class ReleaseBook:
    """Releases of every workload. At most one per workload is active."""

    _database: Database
    _clock: Callable[[], float]

    def add_release(
        self, *, digest: str, workload: str, path: str, report: Mapping[str, Any] = _NOTHING
    ) -> Release:
        """Enter a candidate under the workload's next number.

        The same bundle again is the same release. Raises StoreError where the digest belongs to
        another workload.
        """
        with self._database.write() as connection:
            known = find_release(connection, digest)
            if known is not None:
                if known["workload"] != workload:
                    raise StoreError(
                        f"release {digest} belongs to workload {known['workload']}, not {workload}"
                    )
                return rows.to_release(known)
            last = select(func.max(releases.c.number)).where(releases.c.workload == workload)
            values: dict[str, Any] = {
                "digest": digest,
                "workload": workload,
                "number": (connection.execute(last).scalar_one() or 0) + 1,
                "state": "candidate",
                "path": path,
                "created_at": self._clock(),
                "promoted_at": None,
                "report": dict(report),
            }
            connection.execute(insert(releases).values(values))
        return Release(**values)

    def release(self, digest: str) -> Release | None:
        """One release."""
        with self._database.read() as connection:
            found = find_release(connection, digest)
        return None if found is None else rows.to_release(found)

    def releases(self, workload: str | None = None) -> list[Release]:
        """All releases, or a workload's, newest first."""
        query = select(releases).order_by(releases.c.created_at.desc(), releases.c.number.desc())
        if workload is not None:
            query = query.where(releases.c.workload == workload)
        with self._database.read() as connection:
            return [rows.to_release(row) for row in connection.execute(query).mappings()]

    def active_releases(self) -> dict[str, str]:
        """The digest in force, by workload."""
        query = select(releases.c.workload, releases.c.digest).where(releases.c.state == "active")
        with self._database.read() as connection:
            return dict(connection.execute(query).all())

    def set_active(self, workload: str, digest: str, reason: str) -> None:
        """Put a release in force; the one before it is retired in the same transaction.

        An older release than the one in force counts as rolled back to, else as promoted.
        Raises StoreError where the release is unknown, rejected or another workload's.
        """
        with self._database.write() as connection:
            chosen = _require(connection, digest, workload)
            if chosen["state"] == "rejected":
                raise StoreError(f"release {digest} was rejected and can't be put in force")
            self._activate(connection, chosen, reason)

    def retire_active(self, workload: str, reason: str) -> str | None:
        """Take the workload's release out of force, with none in its place.

        Returns its digest; None where none was in force.
        """
        with self._database.write() as connection:
            before = _active(connection, workload)
            if before is None:
                return None
            self._withdraw(connection, workload)
            self._change(connection, before, "retired", "retired", reason)
            return str(before["digest"])

    def previous_release(self, workload: str) -> Release | None:
        """What a rollback goes back to: of the releases once in force, the newest that is older
        than the one in force; with none in force, the newest."""
        with self._database.read() as connection:
            active = _active(connection, workload)
            query = select(releases).where(
                releases.c.workload == workload, releases.c.state == "retired"
            )
            if active is not None:
                query = query.where(releases.c.number < active["number"])
            newest = query.order_by(releases.c.number.desc()).limit(1)
            found = connection.execute(newest).mappings().one_or_none()
        return None if found is None else rows.to_release(found)

    def neighbouring_releases(self) -> list[str]:
        """Digests of what may soon be in force: by workload the release that is, the one on trial,
        the newest candidate and the two newest that once were."""
        table = releases.c
        query = select(table.digest, table.workload, table.state).order_by(table.number.desc())
        with self._database.read() as connection:
            found = connection.execute(query).all()
        counts: Counter[tuple[str, str]] = Counter()
        near = []
        for digest, workload, state in found:
            counts[workload, state] += 1
            if counts[workload, state] <= _NEAR.get(state, 0):
                near.append(str(digest))
        return near

    def reject_release(self, digest: str, reason: str) -> None:
        """Rule a release out for good. Raises StoreError where it is unknown or in force."""
        with self._database.write() as connection:
            chosen = _require(connection, digest)
            if chosen["state"] == "active":
                raise StoreError(f"release {digest} is in force; roll it back before rejecting it")
            if chosen["state"] != "rejected":
                self._change(connection, chosen, "rejected", "rejected", reason)

    def release_events(self, workload: str | None = None) -> list[ReleaseEvent]:
        """What was done to releases, in order."""
        table = release_events.c
        query = select(table.workload, table.digest, table.action, table.reason, table.at)
        if workload is not None:
            query = query.where(table.workload == workload)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(table.seq)).mappings()
            return [ReleaseEvent(**row) for row in found]

    def _activate(self, connection: Connection, chosen: RowMapping, reason: str) -> None:
        workload, digest = chosen["workload"], chosen["digest"]
        before = _active(connection, workload)
        if before is not None and before["digest"] == digest:
            return
        action: ReleaseAction = "promoted"
        self._withdraw(connection, workload, but=digest)
        if before is not None:
            if before["number"] > chosen["number"]:
                action = "rolled_back"
            self._change(
                connection, before, "retired", "retired", f"release {digest} took its place"
            )
        self._change(connection, chosen, "active", action, reason)

    def _withdraw(self, connection: Connection, workload: str, but: str = "") -> None:
        """What is tried beside a release that is no longer in force is tried no more."""
        on_trial = select(releases).where(
            releases.c.workload == workload,
            releases.c.state.in_(("shadow", "canary")),
            releases.c.digest != but,
        )
        for found in connection.execute(on_trial).mappings().all():
            reason = "another release was put in force or on trial"
            self._change(connection, found, "candidate", "withdrawn", reason)

    def _change(
        self,
        connection: Connection,
        release: RowMapping,
        state: str,
        action: ReleaseAction,
        reason: str,
    ) -> None:
        now = self._clock()
        values: dict[str, Any] = {"state": state}
        if state == "active":
            values["promoted_at"] = now
        connection.execute(
            update(releases).where(releases.c.digest == release["digest"]).values(values)
        )
        connection.execute(
            insert(release_events).values(
                workload=release["workload"],
                digest=release["digest"],
                action=action,
                reason=reason,
                at=now,
            )
        )


class CycleLog:
    """Runs of the learning loop; per workload one at a time."""

    _database: Database
    _clock: Callable[[], float]

    def begin_cycle(self, workload: str, answers_seen: int) -> str | None:
        """Enter a run and return its id; None while another of the workload is running.

        The run has a lease (``cycle_lease``), whose holder is its id: who keeps it says that the
        run is alive. One that doesn't is taken for dead: its outcome becomes "abandoned".
        """
        now = self._clock()
        cycle_id = f"cyc_{secrets.token_hex(8)}"
        with self._database.write() as connection:
            if not take(connection, cycle_lease(workload), cycle_id, now):
                return None
            running = (cycles.c.workload == workload) & cycles.c.ended_at.is_(None)
            connection.execute(
                update(cycles).where(running).values(ended_at=now, outcome="abandoned")
            )
            connection.execute(
                insert(cycles).values(
                    id=cycle_id,
                    workload=workload,
                    started_at=now,
                    detail={},
                    answers_seen=answers_seen,
                )
            )
        return cycle_id

    def note_cycle(self, cycle_id: str, detail: Mapping[str, Any]) -> None:
        """What a run is at, in place of what was noted before; of one that has ended, nothing."""
        change = (
            update(cycles)
            .where(cycles.c.id == cycle_id, cycles.c.ended_at.is_(None))
            .values(detail=dict(detail))
        )
        with self._database.write() as connection:
            connection.execute(change)

    def end_cycle(self, cycle_id: str, outcome: str, detail: Mapping[str, Any] = _NOTHING) -> None:
        """Close a run with its outcome. Raises StoreError where no such run is open."""
        open_one = (cycles.c.id == cycle_id) & cycles.c.ended_at.is_(None)
        values = {"ended_at": self._clock(), "outcome": outcome, "detail": dict(detail)}
        with self._database.write() as connection:
            query = select(cycles.c.workload).where(open_one)
            workload = connection.execute(query).scalar_one_or_none()
            if workload is None:
                raise StoreError(f"learning cycle {cycle_id} isn't running")
            connection.execute(update(cycles).where(open_one).values(values))
            give_back(connection, cycle_lease(workload), cycle_id)

    def core_seconds(
        self, workload: str | None = None, start: float = 0.0, end: float = inf
    ) -> float:
        """What cycles that began from ``start`` on and before ``end`` took of processors' cores,
        where they noted it."""
        taken = func.sum(cycles.c.detail["core_seconds"].as_float())
        query = select(taken).where(cycles.c.started_at >= start)
        if end < inf:
            query = query.where(cycles.c.started_at < end)
        if workload is not None:
            query = query.where(cycles.c.workload == workload)
        with self._database.read() as connection:
            return float(connection.execute(query).scalar_one() or 0.0)

    def cycles(self, limit: int, workload: str | None = None) -> list[Cycle]:
        """The newest runs, newest first."""
        query = select(cycles).order_by(cycles.c.seq.desc()).limit(limit)
        if workload is not None:
            query = query.where(cycles.c.workload == workload)
        with self._database.read() as connection:
            return [rows.to_cycle(row) for row in connection.execute(query).mappings()]


def cycle_lease(workload: str) -> str:
    """What the lease of a workload's cycles is called."""
    return f"cycle:{workload}"


def find_release(connection: Connection, digest: str) -> RowMapping | None:
    """The row of a release."""
    query = select(releases).where(releases.c.digest == digest)
    return connection.execute(query).mappings().one_or_none()


def _active(connection: Connection, workload: str) -> RowMapping | None:
    query = select(releases).where(releases.c.workload == workload, releases.c.state == "active")
    return connection.execute(query).mappings().one_or_none()


def _require(connection: Connection, digest: str, workload: str | None = None) -> RowMapping:
    found = find_release(connection, digest)
    if found is None:
        raise StoreError(f"release {digest} is unknown; see 'tutelage releases list'")
    if workload is not None and found["workload"] != workload:
        raise StoreError(f"release {digest} belongs to workload {found['workload']}")
    return found
