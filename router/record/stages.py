"""Candidates on trial: what the store keeps of their shadow and canary.

What a stage has seen lies in the release's report under ``stage``, what was decided under
``rungs``; each step is an event. Every change is one transaction, so that of several workers one
takes it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from sqlalchemy import func, insert, select, update
from sqlalchemy.engine import Connection, RowMapping

from router.errors import StoreError
from router.record import rows
from router.record.learning import ReleaseBook, find_release
from router.record.model import Json, Release, ReleaseAction
from router.record.schema import interactions, meta, releases

ON_TRIAL: Final = ("shadow", "canary")
"""The states of a release that is neither in force nor out of the question."""

Kind = Literal["shadow", "canary"]


class StageBook(ReleaseBook):
    """Releases, and the stages that a candidate goes through; at most one per workload is tried."""

    def begin_stage(
        self,
        digest: str,
        kind: Kind,
        stage: Mapping[str, Json],
        reason: str,
        rungs: tuple[Mapping[str, Json], ...] = (),
    ) -> None:
        """Put a release on trial beside the one in force, or on its next stage or step.

        Another one of the workload on trial goes back to being a candidate. ``rungs``: decisions
        that led here. Raises StoreError where the release is unknown, rejected or in force.
        """
        with self._database.write() as connection:
            chosen = find_release(connection, digest)
            if chosen is None or chosen["state"] in ("active", "rejected"):
                raise StoreError(f"release {digest} can't be tried: it is in force, out or unknown")
            self._withdraw(connection, chosen["workload"], but=digest)
            self._enter_stage(connection, chosen, kind, stage, reason, rungs)

    def staged(self) -> list[Release]:
        """The releases on trial."""
        query = select(releases).where(releases.c.state.in_(ON_TRIAL))
        with self._database.read() as connection:
            return [rows.to_release(row) for row in connection.execute(query).mappings()]

    def fold_stage(
        self, digest: str, fold: Callable[[Mapping[str, Json]], Mapping[str, Json]]
    ) -> None:
        """Take more into what a stage has seen; nothing where the release is on trial no more."""
        with self._database.write() as connection:
            found = _lock(connection, digest)
            if found is not None:
                report = {**found["report"], "stage": dict(fold(found["report"]["stage"]))}
                _write_report(connection, digest, report)

    def move_stage(
        self,
        release: Release,
        rungs: tuple[Mapping[str, Json], ...],
        to: tuple[Kind, Mapping[str, Json]] | Literal["active", "rejected", "candidate"],
        reason: str,
    ) -> bool:
        """What a stage came to: the next one, in force, ruled out, or a candidate as before.

        False, and nothing is changed, where it isn't on the step of ``release`` any more.
        """
        with self._database.write() as connection:
            found = _lock(connection, release.digest)
            if found is None or _step_of(found["report"]) != _step_of(release.report):
                return False
            if isinstance(to, tuple):
                self._enter_stage(connection, found, *to, reason, rungs)
                return True
            _write_report(connection, release.digest, _with_rungs(found["report"], rungs))
            if to == "active":
                self._activate(connection, found, reason)
            else:
                action: ReleaseAction = "rejected" if to == "rejected" else "withdrawn"
                self._change(connection, found, to, action, reason)
            return True

    def count_compared(self, workload: str, since: float) -> tuple[int, float | None]:
        """Drafts of the workload that were held against the teacher's answer since then, and when
        the first of them was made."""
        table = interactions.c
        query = select(func.count(), func.min(table.created_at)).where(
            table.workload == workload,
            table.created_at >= since,
            table.seen,
            table.release.is_not(None),
            table.draft_agreed.is_not(None),
        )
        with self._database.read() as connection:
            count, first = connection.execute(query).one()
        return int(count), first

    def secret(self, name: str) -> str:
        """A random word of that name, made when it is asked for first; the same for everybody."""
        query = select(meta.c.value).where(meta.c.key == f"secret:{name}")
        with self._database.read() as connection:
            known = connection.execute(query).scalar_one_or_none()
        if known is not None:
            return str(known)
        with self._database.write() as connection:
            known = connection.execute(query).scalar_one_or_none()
            if known is None:
                known = secrets.token_hex(16)
                connection.execute(insert(meta).values(key=f"secret:{name}", value=known))
        return str(known)

    def _enter_stage(
        self,
        connection: Connection,
        release: RowMapping,
        kind: Kind,
        stage: Mapping[str, Json],
        reason: str,
        rungs: tuple[Mapping[str, Json], ...],
    ) -> None:
        report = {**_with_rungs(release["report"], rungs), "stage": dict(stage)}
        _write_report(connection, release["digest"], report)
        self._change(connection, release, kind, kind, reason)


def _lock(connection: Connection, digest: str) -> RowMapping | None:
    query = select(releases).where(releases.c.digest == digest, releases.c.state.in_(ON_TRIAL))
    return connection.execute(query.with_for_update()).mappings().one_or_none()


def _step_of(report: Mapping[str, Json]) -> Any:
    stage = report.get("stage", {})
    return stage.get("kind"), stage.get("step"), stage.get("began_at")


def _with_rungs(
    report: Mapping[str, Json], rungs: tuple[Mapping[str, Json], ...]
) -> dict[str, Json]:
    """Without what a stage has seen: that is over."""
    rest = {name: value for name, value in report.items() if name != "stage"}
    return {**rest, "rungs": [*report.get("rungs", []), *(dict(rung) for rung in rungs)]}


def _write_report(connection: Connection, digest: str, report: Mapping[str, Json]) -> None:
    connection.execute(
        update(releases).where(releases.c.digest == digest).values(report=dict(report))
    )
