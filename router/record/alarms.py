"""The history of alarms: what the watch found, and when evidence had returned."""

from __future__ import annotations

from sqlalchemy import insert, select, update

from router.record.database import Database
from router.record.model import KeptAlarm
from router.record.schema import alarms

_SAME_S = 600.0
"""Of several workers each may find the same change; within so many seconds it is one alarm."""

_COLUMNS = tuple(
    alarms.c[name] for name in ("workload", "kind", "trial", "strength", "at", "ended_at")
)


class AlarmBook:
    """Alarms by workload; none is ever removed."""

    _database: Database

    def add_alarm(self, alarm: KeptAlarm) -> bool:
        """Enter an alarm; False where another worker has."""
        c = alarms.c
        same = select(c.seq).where(
            c.workload == alarm.workload,
            c.kind == alarm.kind,
            c.trial == alarm.trial,
            c.at > alarm.at - _SAME_S,
        )
        with self._database.write() as connection:
            if connection.execute(same.limit(1)).first() is not None:
                return False
            connection.execute(insert(alarms).values(vars(alarm)))
        return True

    def end_alarms(self, workload: str, at: float) -> None:
        """The workload's promise isn't tightened any more."""
        open_ = (alarms.c.workload == workload) & alarms.c.ended_at.is_(None)
        with self._database.write() as connection:
            connection.execute(update(alarms).where(open_).values(ended_at=at))

    def open_alarms(self) -> set[str]:
        """The workloads with an alarm that hasn't ended."""
        query = select(alarms.c.workload).where(alarms.c.ended_at.is_(None)).distinct()
        with self._database.read() as connection:
            return set(connection.scalars(query))

    def alarms(self, limit: int, workload: str | None = None) -> list[KeptAlarm]:
        """The newest, newest first."""
        query = select(*_COLUMNS).order_by(alarms.c.at.desc(), alarms.c.seq.desc()).limit(limit)
        if workload is not None:
            query = query.where(alarms.c.workload == workload)
        with self._database.read() as connection:
            return [KeptAlarm(**row) for row in connection.execute(query).mappings()]

    def alarms_between(self, start: float, end: float) -> list[KeptAlarm]:
        """Those raised from ``start`` on and before ``end``, in order."""
        query = select(*_COLUMNS).where(alarms.c.at >= start, alarms.c.at < end)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(alarms.c.at, alarms.c.seq)).mappings()
            return [KeptAlarm(**row) for row in found]
