"""Keeps a certificate or ledger per workload and per slice of it, across requests and restarts."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from policies.promise.certificate import Certificate
from policies.promise.drift import Alarm, Kind, Watch
from policies.promise.ledger import Ledger
from policies.types import Ask, Trial
from router.deciding.kept import Account, Kept, make_empty, read_kept
from router.deciding.pools import LEFT, PoolKeeper, PoolPlan, read_together
from router.deciding.slices import terms_of_whole
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.model import PromiseSettings, Settings
from router.settings.slices import SliceSettings

CHANGES: Mapping[Kind, str] = MappingProxyType(
    {
        "agreement": "drafts agree with the teacher less often than the gate expects",
        "novelty": "requests lie further from what was learned than they used to",
        "evidence": "drafts are less sure than they used to be",
        "teacher": "the teacher names a version never seen before",
    }
)
"""What an alarm says, for people."""

_OF_ANSWERS: Collection[Kind] = ("agreement", "teacher")
"""Kinds of change after which earlier answers and comparisons may no longer hold."""

_SNAPSHOT_EVERY = 1_000
"""Interactions between two snapshots of a shared account."""

_MOST_RAISED = 100
"""Alarms that wait for somebody who takes them; of more the oldest are dropped."""

_log = logging.getLogger("tutelage.promise")


class PromiseKeeper:
    """Certificates and ledgers by workload, with the watch that looks for drift, and its slices'.

    Used from one event loop only. ``shared``: other workers see interactions of the same workloads.
    Then nothing is taken in before it has been read from the store: in one order, so that all
    workers come to the same state, a second or two late. Only certificates are kept like that. So
    is one about accuracy always: it waits for verdicts.

    Either is restored from the store where the terms are the same, and brought up to date
    with the interactions stored after its snapshot; other terms start afresh, and so does what
    can't be used: nothing is then served until it is proven anew. What was stored before there was
    a watch is used, with a watch that has seen nothing. ``pools``: which of the workloads of
    ``settings`` share evidence, and what that has come to. ``begins``: False for whoever only looks
    and mustn't put a beginning in the place of what is proven under other terms.
    """

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        settings: Settings | None = None,
        *,
        shared: bool = False,
        begins: bool = True,
    ) -> None:
        self.pools = PoolKeeper(settings, alone=not shared)
        self._store = store
        self._metrics = metrics
        self._shared = shared
        self._begins = begins
        self._changes: dict[str, Alarm] = {}
        self._kept: dict[str, Kept] = {}
        self._raised: deque[tuple[str, Alarm]] = deque(maxlen=_MOST_RAISED)
        self._promises: dict[str, tuple[PromiseSettings, tuple[SliceSettings, ...]]] = {}

    def account(
        self, workload: str, promise: PromiseSettings, slices: Sequence[SliceSettings] = ()
    ) -> Account:
        """The workload's certificate or ledger; the first call for a workload reads the store.

        ``slices``: all that the workload has; their accounts are made by the same call.
        """
        if workload not in self._kept or self.pools.awaits(workload):
            plan = self.pools.plan_of(workload)
            if plan is None:
                self._open(workload, promise, slices)
            else:
                self._open_members(plan)
        return self._kept[workload].account

    def _open(
        self, workload: str, promise: PromiseSettings, slices: Sequence[SliceSettings] = ()
    ) -> None:
        found = self._restore(workload, make_empty(promise, slices))
        self._keep(workload, found, promise, slices)

    def _keep(
        self,
        workload: str,
        kept: Kept,
        promise: PromiseSettings,
        slices: Sequence[SliceSettings] = (),
    ) -> None:
        self._kept[workload] = kept
        self._promises[workload] = (promise, tuple(slices))
        self._publish(workload, kept)

    def _open_members(self, plan: PoolPlan) -> None:
        """All members of a pool at once, since what one's interaction does to the pool depends on
        how the others stood."""
        missing = [name for name in plan.members if name not in self._kept]
        if len(missing) == len(plan.members) and not self.pools.is_open(plan):
            try:
                kept = self._restore_together(plan)
            except (LookupError, TypeError, ValueError) as error:
                message = "What pool %s has proven can't be used (%s): it starts afresh."
                _log.warning(message, plan.name, error)
                self.pools.close(plan)
            else:
                for name, one in kept.items():
                    self._keep(name, one, plan.promise)
                return
        for name in missing:
            self._open(name, plan.promise)
        self.pools.open(plan, self._certificates(self._kept, plan))
        for name in plan.members:
            self._publish(name, self._kept[name])

    def _restore_together(self, plan: PoolPlan) -> dict[str, Kept]:
        """Members and pool as the store has them, brought up to date in one order."""
        found = {name: self._store.promise_state(name) for name in plan.members}
        kept = {name: make_empty(plan.promise) for name in plan.members}
        key = terms_of_whole(plan.promise, ()).key
        stored = {name: one for name, one in found.items() if one is not None and one.terms == key}
        for name, state in stored.items():
            kept[name] = read_kept(kept[name], state.state)
            kept[name].upto_seq = kept[name].snapshot_seq = state.upto_seq
        upto = self.pools.open(plan, self._certificates(kept, plan), stored)
        after = {name: state.upto_seq for name, state in stored.items()}
        for seq, name, trial in read_together(self._store, after):
            floor = self.pools.floor(name)
            alarm = kept[name].take_in(replace(trial, slices=()))
            if upto is not None and seq > upto:
                self.pools.observe(name, trial, alarm, floor)
            kept[name].upto_seq = seq
        return kept

    @staticmethod
    def _certificates(kept: Mapping[str, Kept], plan: PoolPlan) -> dict[str, Certificate]:
        accounts = {name: kept[name].account for name in plan.members}
        return {name: one for name, one in accounts.items() if isinstance(one, Certificate)}

    def slices(self, workload: str) -> Mapping[str, Account]:
        """The accounts of the slices of a workload whose account is kept, by name."""
        kept = self._kept.get(workload)
        return {} if kept is None else {name: one.account for name, one in kept.slices.items()}

    def keeps(
        self,
        workload: str,
        promise: PromiseSettings | None,
        slices: Sequence[SliceSettings] = (),
    ) -> bool:
        """Whether the workload's account is for this promise, so that its interactions count."""
        return promise is not None and self._promises.get(workload) == (promise, tuple(slices))

    def keep_only(
        self, promises: Mapping[str, tuple[PromiseSettings, Sequence[SliceSettings]]]
    ) -> None:
        """Let go of the accounts of workloads that promise something else now, or nothing."""
        for workload in list(self._kept):
            promise, slices = promises.get(workload, (None, ()))
            if not self.keeps(workload, promise, slices):
                del self._kept[workload], self._promises[workload]

    def observe(self, workload: str, trial: Trial) -> PromiseState | None:
        """Take in one interaction of a workload whose account is kept; returns a snapshot.

        At an alarm it is told why, and the account has been tightened. None where it is read from
        the store.
        """
        kept = self._kept[workload]
        if self._follows(kept.account):
            return None
        self._take_in(workload, kept, trial)
        return self.pools.add_to(workload, kept.snapshot())

    def followed(self) -> dict[str, Iterator[tuple[int, Trial]]]:
        """What there is to read on, by workload that is followed; reading blocks."""
        return {
            workload: self._read(workload, kept.account, kept.upto_seq)
            for workload, kept in self._kept.items()
            if self._follows(kept.account)
        }

    def _follows(self, account: Account) -> bool:
        """Whether it takes in what was read from the store, and nothing else."""
        return self._shared or account.terms.about == "accuracy"

    def _read(self, workload: str, account: Account, after_seq: int) -> Iterator[tuple[int, Trial]]:
        if account.terms.about == "accuracy":
            return self._store.judged_trials(workload, account.terms.within_s, after_seq)
        return self._store.trials(workload, after_seq)

    def take_in(self, workload: str, trials: Sequence[tuple[int, Trial]]) -> PromiseState | None:
        """Take in what was read from the store, in its order; now and then a snapshot to store.

        Of verdicts, which may be replaced later, each time: each counts as it was first read.
        """
        kept = self._kept.get(workload)
        if kept is None or not self._follows(kept.account):
            return None  # another promise has come while it was read
        for seq, trial in trials:
            if seq <= kept.upto_seq:
                continue
            self._take_in(workload, kept, trial)
            kept.upto_seq = seq
        every = 1 if kept.account.terms.about == "accuracy" else _SNAPSHOT_EVERY
        if kept.upto_seq - kept.snapshot_seq < every:
            return None
        kept.snapshot_seq = kept.upto_seq
        return kept.snapshot()

    def _take_in(self, workload: str, kept: Kept, trial: Trial) -> None:
        floor = self.pools.floor(workload)  # fixed before anything is known of the trial
        alarm = kept.take_in(trial)
        if alarm is not None:
            self._raised.append((workload, alarm))
            if alarm.kind in _OF_ANSWERS:
                self._changes[workload] = alarm
            self._metrics.add_drift_alarm(workload, alarm.kind)
            _log.warning("Drift in workload %s: %s; tightened.", workload, CHANGES[alarm.kind])
        cause = self.pools.observe(workload, trial, alarm, floor)
        if cause is not None:
            _log.warning("Workload %s is put out of its pool: %s.", workload, LEFT[cause])
        self._publish(workload, kept)

    def last_alarm(self, workload: str) -> Alarm | None:
        """The newest alarm of a workload, also of one that has long been answered by evidence."""
        kept = self._kept.get(workload)
        return None if kept is None else kept.watch.last

    def last_change(self, workload: str) -> Alarm | None:
        """The newest alarm, since this keeper began, that says that answers from before it may no
        longer hold: about agreement, or the teacher. An alarm of another kind doesn't hide it."""
        return self._changes.get(workload)

    def hold_back(self, workload: str) -> None:
        """What comes of a workload can't be read: until it can, nothing is served on old proof."""
        kept = self._kept.get(workload)
        if kept is not None:
            kept.account.withdraw()
            self._publish(workload, kept)

    def take_raised(self) -> list[tuple[str, Alarm]]:
        """The alarms since the last call with their workloads, in order."""
        taken = [*self._raised]
        self._raised.clear()
        return taken

    def is_tightened(self, workload: str) -> bool:
        """Whether an alarm of the workload, or of a slice of it, isn't answered by evidence yet."""
        kept = self._kept.get(workload)
        if kept is None:
            return False
        accounts = (kept.account, *(one.account for one in kept.slices.values()))
        return any(account.tightened for account in accounts)

    def watch(self, workload: str) -> Watch | None:
        """What looks for drift in a workload; to be read, not fed."""
        kept = self._kept.get(workload)
        return None if kept is None else kept.watch

    def release(self, workload: str, ask: Ask) -> None:
        """A check by chance isn't carried out after all: ``ask`` was to be the one."""
        kept = self._kept.get(workload)
        if kept is None:
            return
        inside = [kept.slices[one.name].account for one in ask.slices if one.name in kept.slices]
        for account in (kept.account, *inside):
            if isinstance(account, Ledger):
                account.release(ask.propensity)

    def _restore(self, workload: str, empty: Kept) -> Kept:
        stored = self._store.promise_state(workload)
        key = empty.account.key
        other = stored is None or stored.terms != key
        if other and self._begins and self._follows(empty.account):
            # All workers begin where the first of them does.
            stored = self._store.begin_promise(workload, empty.snapshot())
        if stored is None or stored.terms != key:
            return empty
        try:
            kept = read_kept(empty, stored.state)
            kept.upto_seq = kept.snapshot_seq = stored.upto_seq
            known = {name for name, one in kept.slices.items() if one.account.trials}
            for seq, trial in self._read(workload, empty.account, stored.upto_seq):
                # Of a slice that matched something else then, it is no evidence.
                inside = tuple(one for one in trial.slices if one.name in known)
                kept.take_in(replace(trial, slices=inside))
                kept.upto_seq = seq
        except (LookupError, TypeError, ValueError) as error:
            _log.warning(
                "What was proven for workload %s can't be used (%s): it starts afresh.",
                workload,
                error,
            )
            return empty
        return kept

    def _publish(self, workload: str, kept: Kept) -> None:
        pooled = self.pools.pooled(workload)
        if pooled is None:
            self._show(workload, kept.account)
        else:
            promised, proven = kept.account.terms.at_least, pooled.lower_bound()
            self._metrics.set_promise(workload, promised, proven, pooled=pooled.borrowed)
        for name, one in kept.slices.items():
            # No workload's name has a slash in it.
            self._show(f"{workload}/{name}", one.account)

    def _show(self, label: str, account: Account) -> None:
        terms = account.terms
        self._metrics.set_promise(label, terms.at_least, proven_share(account), terms.about)


def proven_share(account: Account) -> float:
    """The agreement, or accuracy, that is proven now; 1.0 where a certificate lets nothing be
    served."""
    if isinstance(account, Ledger):
        return account.agreement()
    return account.lower_bound(account.level())
