"""The policies that the admin API put in place of the file's, each with author and reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import func, insert, select

from router.record.database import Database
from router.record.model import PolicyVersion
from router.record.schema import policy_versions

_COLUMNS = tuple(column for column in policy_versions.c if column.name != "seq")


class PolicyBook:
    """Numbered versions by workload; none is ever changed or removed."""

    _database: Database
    _clock: Callable[[], float]

    def add_policy(
        self, workload: str, change: Mapping[str, Any] | None, *, author: str, reason: str
    ) -> PolicyVersion:
        """Enter a workload's next version; ``change``: None to go back to the file."""
        table = policy_versions.c
        last = select(func.max(table.version)).where(table.workload == workload)
        with self._database.write() as connection:
            values: dict[str, Any] = {
                "workload": workload,
                "version": (connection.execute(last).scalar_one() or 0) + 1,
                "change": None if change is None else dict(change),
                "author": author,
                "reason": reason,
                "at": self._clock(),
            }
            connection.execute(insert(policy_versions).values(values))
        return PolicyVersion(**values)

    def newest_policies(self) -> dict[str, PolicyVersion]:
        """Each workload's newest version, also one that went back to the file."""
        table = policy_versions.c
        newest = select(func.max(table.seq)).group_by(table.workload)
        query = select(*_COLUMNS).where(table.seq.in_(newest))
        with self._database.read() as connection:
            found = connection.execute(query).mappings().all()
        return {row["workload"]: PolicyVersion(**row) for row in found}

    def policy_history(self, workload: str) -> list[PolicyVersion]:
        """All versions of a workload, newest first."""
        table = policy_versions.c
        query = select(*_COLUMNS).where(table.workload == workload).order_by(table.version.desc())
        with self._database.read() as connection:
            return [PolicyVersion(**row) for row in connection.execute(query).mappings()]
