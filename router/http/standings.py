"""What each workload's promise has come to, read for whoever shows it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal

from router.deciding.outlook import Outlook, look_ahead
from router.deps import Deps
from router.record.store import Store
from router.release import Release
from router.settings.model import WorkloadSettings
from router.ui.standing import AccountReading, read_account


@dataclass(frozen=True, kw_only=True)
class Standings:
    """By workload, at one moment: the account of its promise, its release in force, and what the
    teacher costs there, None where that is unknown."""

    readings: Mapping[str, AccountReading]
    releases: Mapping[str, Release | None]
    teacher_usd: Mapping[str, Decimal | None]

    def look_ahead(self, store: Store, shown: Collection[str]) -> dict[str, Outlook]:
        """For each shown account that isn't proven, a slice's as ``workload/slice``. Blocks."""
        return {
            label: look_ahead(
                *(store, name, one.snapshot, self.releases[name], self.teacher_usd[name]), of_slice
            )
            for name, reading in self.readings.items()
            if name in shown
            for label, of_slice, one in _list_accounts(name, reading)
            if one.level is None and one.snapshot is not None
        }


def read_standings(deps: Deps, workloads: Iterable[WorkloadSettings]) -> Standings:
    """``workloads``: under the names that the store has for them. Call it on the event loop.

    A certificate that no request has needed yet is restored.
    """
    readings = {
        one.name: read_account(
            deps.promises.account(one.name, one.promise, one.slices),
            deps.promises.last_alarm(one.name),
            deps.promises.slices(one.name),
            deps.promises.pools.read(one.name),
        )
        for one in workloads
        if one.promise is not None and one.effective_policy == "promise"
    }
    return Standings(
        readings=readings,
        releases={name: deps.releases.get(name) for name in readings},
        teacher_usd={name: deps.teacher_costs.estimate(name) for name in readings},
    )


def _list_accounts(
    name: str, reading: AccountReading
) -> Iterator[tuple[str, str | None, AccountReading]]:
    """(label, slice, reading) of the workload and of each of its slices."""
    yield name, None, reading
    for of_slice, one in reading.slices.items():
        yield f"{name}/{of_slice}", of_slice, one
