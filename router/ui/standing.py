"""What each workload promises, what of that is proven, and whether its student serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.promise.ledger import Ledger
from router.promise import Account
from router.settings.model import Settings, WorkloadSettings


@dataclass(frozen=True, kw_only=True)
class AccountReading:
    """A certificate or a ledger at one moment.

    ``level`` counts from 0, None where nothing may be served; ``lower_bound``: agreement proven
    at that level. ``progress``: evidence for the strictest level as a share, 0..1, of what accepts
    it. A ledger has one level, and its progress is the part of its start that is earned.
    """

    level: int | None
    levels: int
    lower_bound: float | None
    progress: float
    trials: int


def read_account(account: Account) -> AccountReading:
    """Call it on the event loop, where the account is fed."""
    if isinstance(account, Ledger):
        return _read_ledger(account)
    certificate, level = account, account.level()
    strictest = float(certificate.wealth()[0])
    return AccountReading(
        level=level,
        levels=len(certificate.levels),
        lower_bound=None if level is None else certificate.lower_bound(level),
        progress=min(1.0, max(0.0, strictest / certificate.target)),
        trials=certificate.trials,
    )


def _read_ledger(ledger: Ledger) -> AccountReading:
    serves = ledger.can_serve()
    return AccountReading(
        level=0 if serves else None,
        levels=1,
        lower_bound=ledger.agreement() if serves else None,
        progress=ledger.progress(),
        trials=ledger.trials,
    )


def describe_workloads(
    settings: Settings,
    readings: Mapping[str, AccountReading],
    active: Mapping[str, str],
    workload: str | None,
) -> list[dict[str, Any]]:
    """One JSON-ready entry per configured workload, or for ``workload`` alone.

    ``active``: the digest in force, by workload. A workload that isn't configured is observed.
    """
    found = [
        _describe(one, readings.get(one.name), active.get(one.name))
        for one in settings.workloads
        if workload in (None, one.name)
    ]
    if workload is not None and not found:
        found.append(_describe(WorkloadSettings(name="-"), None, None) | {"workload": workload})
    return found


def _describe(
    workload: WorkloadSettings, reading: AccountReading | None, release: str | None
) -> dict[str, Any]:
    serving, text = _mode(workload, reading, release)
    entry: dict[str, Any] = {
        "workload": workload.name,
        "policy": workload.effective_policy,
        "serving": serving,
        "mode": text,
        "promise": None,
    }
    if workload.effective_policy == "promise" and workload.promise and reading:
        entry["promise"] = {
            "agreement": workload.promise.agreement,
            "confidence": workload.promise.confidence,
            "over": workload.promise.over,
            "lower_bound": reading.lower_bound if serving else None,
            "progress": reading.progress,
            "trials": reading.trials,
        }
    return entry


def _mode(
    workload: WorkloadSettings, reading: AccountReading | None, release: str | None
) -> tuple[bool, str]:
    """Whether the student may answer, and a few words about it."""
    policy = workload.effective_policy
    if policy == "teacher":
        return False, "Observing: the policy is teacher, nothing is served by a student"
    if release is None:
        return False, "Observing: no release yet, nothing is served"
    if policy == "student":
        return True, "Serving every draft, without a promise"
    if policy == "threshold":
        return True, f"Serving drafts from confidence {workload.threshold:.2f} on, no promise"
    if policy == "budget":
        return True, "Serving what the budget doesn't ask about, no promise"
    if reading is None or reading.level is None:
        return False, "Observing: not proven yet, nothing is served"
    if workload.promise is not None and workload.promise.guarantee:
        return True, "Serving under a guarantee"
    return True, f"Serving at level {reading.level + 1} of {reading.levels}"
