"""What each workload promises, what of that is proven, and whether its student serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

from policies.promise.certificate import Certificate
from policies.promise.drift import Alarm
from policies.promise.ledger import Ledger
from router.deciding.kept import Account
from router.deciding.outlook import Outlook
from router.deciding.pools import PoolStanding
from router.deciding.promise import CHANGES
from router.meter.money import show_usd
from router.settings.model import BUILT_IN_POLICIES, Settings, WorkloadSettings
from router.wording import show_about

_NO_OUTLOOKS: Final[Mapping[str, Outlook]] = {}
_NO_SLICES: Final[Mapping[str, Account]] = {}


@dataclass(frozen=True, kw_only=True)
class AccountReading:
    """A certificate or a ledger at one moment.

    ``level`` counts from 0, None where nothing may be served; ``lower_bound``: agreement, or
    accuracy, proven at that level. ``progress``: evidence for the strictest level as a share, 0..1,
    of what accepts it. A ledger has one level, and its progress is the part of its start that is
    earned.
    ``drift``: the change that it is tightened for, in words, None where it isn't. ``snapshot``: the
    account as it was, for whoever looks ahead from another thread. ``slices``: the same by name.
    ``pool``: how the workload stands in one; what it borrows there is what ``level`` says.
    """

    level: int | None
    levels: int
    lower_bound: float | None
    progress: float
    trials: int
    drift: str | None = None
    snapshot: Account | None = None
    slices: Mapping[str, AccountReading] = field(default_factory=dict)
    pool: PoolStanding | None = None


def read_account(
    account: Account,
    alarm: Alarm | None = None,
    slices: Mapping[str, Account] = _NO_SLICES,
    pool: PoolStanding | None = None,
) -> AccountReading:
    """Call it on the event loop, where the account is fed. ``alarm``: its workload's last one."""
    reading = replace(_read_one(account, alarm), pool=pool)
    if pool is not None and pool.borrowed and pool.level is not None:
        reading = replace(reading, level=pool.level - 1, lower_bound=pool.proven_agreement)
    return replace(reading, slices={name: _read_one(one, alarm) for name, one in slices.items()})


def _read_one(account: Account, alarm: Alarm | None) -> AccountReading:
    reading = _read_ledger(account) if isinstance(account, Ledger) else _read_certificate(account)
    if alarm is None or not account.tightened:
        return reading
    return replace(reading, drift=CHANGES[alarm.kind])


def _read_certificate(certificate: Certificate) -> AccountReading:
    level = certificate.level()
    strictest = float(certificate.wealth()[0])
    return AccountReading(
        level=level,
        levels=len(certificate.levels),
        lower_bound=None if level is None else certificate.lower_bound(level),
        progress=min(1.0, max(0.0, strictest / certificate.target)),
        trials=certificate.trials,
        snapshot=Certificate.restore(certificate.terms, certificate.state()),
    )


def _read_ledger(ledger: Ledger) -> AccountReading:
    serves = ledger.can_serve()
    return AccountReading(
        level=0 if serves else None,
        levels=1,
        lower_bound=ledger.agreement() if serves else None,
        progress=ledger.progress(),
        trials=ledger.trials,
        snapshot=Ledger.restore(ledger.terms, ledger.state()),
    )


def describe_workloads(
    settings: Settings,
    readings: Mapping[str, AccountReading],
    active: Mapping[str, str],
    workload: str | None,
    outlooks: Mapping[str, Outlook] = _NO_OUTLOOKS,
) -> list[dict[str, Any]]:
    """One JSON-ready entry per configured workload, or for ``workload`` alone, and after it one for
    each of its slices, named by ``slice``.

    ``active``: the digest in force, by workload; ``outlooks``: of those whose promise isn't proven
    yet, where one was made, a slice's as ``workload/slice``. A workload that isn't configured is
    observed.
    """
    found = []
    for one in settings.workloads:
        if workload not in (None, one.name):
            continue
        reading, release = readings.get(one.name), active.get(one.name)
        whole = _describe(one, reading, release, outlooks.get(one.name))
        found.append(whole)
        for name, of_slice in ({} if reading is None else reading.slices).items():
            outlook = outlooks.get(f"{one.name}/{name}")
            entry = _describe(one, of_slice, release, outlook, name)
            found.append(entry | {"serving": entry["serving"] and whole["serving"]})
    if workload is not None and not found:
        found.append(
            _describe(WorkloadSettings(name="-"), None, None, None) | {"workload": workload}
        )
    return found


def _describe(
    workload: WorkloadSettings,
    reading: AccountReading | None,
    release: str | None,
    outlook: Outlook | None,
    of_slice: str | None = None,
) -> dict[str, Any]:
    serving, text = _mode(workload, reading, release, outlook)
    entry: dict[str, Any] = {
        "workload": workload.name,
        "slice": of_slice,
        "policy": workload.effective_policy,
        "serving": serving,
        "mode": text if of_slice is None else f"Slice {of_slice}: {text}",
        "promise": None,
    }
    if workload.effective_policy == "promise" and workload.promise and reading:
        promise = workload.promise
        terms = None if of_slice is None or reading.snapshot is None else reading.snapshot.terms
        about = "agreement" if promise.accuracy is None else "accuracy"
        entry["promise"] = {
            about: promise.at_least if terms is None else terms.at_least,
            "confidence": promise.confidence if terms is None else terms.confidence,
            "over": workload.promise.over,
            "lower_bound": reading.lower_bound if serving else None,
            "progress": reading.progress,
            "trials": reading.trials,
            "outlook": None if outlook is None else asdict(outlook),
            "pool": None if reading.pool is None else asdict(reading.pool),
        }
    return entry


def _mode(
    workload: WorkloadSettings,
    reading: AccountReading | None,
    release: str | None,
    outlook: Outlook | None,
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
    if policy not in BUILT_IN_POLICIES:
        return True, f"The plug-in {policy} decides, without a promise"
    serving, text = _account_mode(workload, reading, outlook)
    pool = None if reading is None else reading.pool
    if pool is not None and (pool.borrowed or pool.why is not None):
        text += f", {pool.words}"
    if reading is None or reading.drift is None:
        return serving, text
    return serving, f"Tightened after drift: {reading.drift}. {text}"


def _account_mode(
    workload: WorkloadSettings, reading: AccountReading | None, outlook: Outlook | None
) -> tuple[bool, str]:
    if reading is None or reading.level is None:
        return False, _name_what_is_missing(outlook)
    if workload.promise is not None and workload.promise.guarantee:
        return True, "Serving under a guarantee"
    return True, f"Serving at level {reading.level + 1} of {reading.levels}"


def _name_what_is_missing(outlook: Outlook | None) -> str:
    """The outlook in a few words; its sentence says more."""
    if outlook is not None and outlook.kind == "infeasible":
        return "Observing: the promise is infeasible, nothing is served"
    if outlook is None or outlook.checks is None:
        return "Observing: not proven yet, nothing is served"
    unit = "interactions" if outlook.cause == "start_not_earned" else "checks"
    cost = "" if outlook.cost_usd is None else f", {show_usd(Decimal(outlook.cost_usd))}"
    return f"Observing: not proven yet, about {show_about(outlook.checks)} more {unit}{cost}"
