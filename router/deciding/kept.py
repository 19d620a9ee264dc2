"""What is kept of a workload's promise: its account, its slices' and the watch, as one state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from policies.promise.certificate import Certificate
from policies.promise.drift import Alarm, Watch
from policies.promise.ledger import Ledger
from policies.types import Trial
from router.deciding.slices import name_evidence, terms_of_slice, terms_of_whole
from router.record.model import PromiseState
from router.settings.model import PromiseSettings
from router.settings.slices import SliceSettings

Account = Certificate | Ledger
"""What a promise is kept by: a certificate, or a ledger where a guarantee was asked for."""

_WATCH, _SLICES, _EVIDENCE = "watch", "slices", "evidence"
"""Where a stored state holds the watch's, those of the slices, and what each of these is for."""


@dataclass(frozen=True, kw_only=True)
class _Slice:
    """A slice's account; ``evidence``: names what can be used as evidence for it."""

    account: Account
    evidence: str


@dataclass(kw_only=True)
class Kept:
    """``upto_seq``: the last interaction that was read from the store; ``snapshot_seq``: the last
    one in the newest snapshot."""

    account: Account
    watch: Watch
    slices: Mapping[str, _Slice] = field(default_factory=dict)
    upto_seq: int = 0
    snapshot_seq: int = 0

    def take_in(self, trial: Trial) -> Alarm | None:
        """Evidence first, then what an alarm takes away: from all, since it can't tell slices."""
        self.account.observe(trial)
        for name, one in self.slices.items():
            within = trial.within(name)
            if within is not None:
                one.account.observe(within)
        alarm = self.watch.observe(trial)
        if alarm is not None:
            for account in (self.account, *(one.account for one in self.slices.values())):
                if alarm.kind == "agreement":
                    account.withdraw()
                else:
                    account.be_wary()
        return alarm

    def state(self) -> dict[str, Any]:
        state = {**self.account.state(), _WATCH: self.watch.state()}
        if self.slices:
            state[_SLICES] = {
                name: {**one.account.state(), _EVIDENCE: one.evidence}
                for name, one in self.slices.items()
            }
        return state

    def snapshot(self) -> PromiseState:
        return PromiseState(terms=self.account.key, state=self.state(), upto_seq=self.upto_seq)


def make_empty(promise: PromiseSettings, slices: Sequence[SliceSettings] = ()) -> Kept:
    make = Ledger if promise.guarantee else Certificate
    return Kept(
        account=make(terms_of_whole(promise, slices)),
        watch=Watch(),
        slices={one.name: _open_slice(one, promise, slices) for one in slices},
    )


def _open_slice(
    one: SliceSettings, promise: PromiseSettings, slices: Sequence[SliceSettings]
) -> _Slice:
    terms = terms_of_slice(one, promise, slices)
    account = Ledger(terms) if promise.guarantee else Certificate(terms)
    return _Slice(account=account, evidence=name_evidence(one, account.key))


def read_kept(empty: Kept, state: Mapping[str, Any]) -> Kept:
    """What was stored in place of what is empty; a slice that matched something else, or was no
    slice yet, stays empty."""
    stored = dict(state).get(_SLICES, {})
    slices = {}
    for name, one in empty.slices.items():
        account = type(one.account)(one.account.terms)
        if name in stored and stored[name][_EVIDENCE] == one.evidence:
            account = type(one.account).restore(one.account.terms, stored[name])
        slices[name] = _Slice(account=account, evidence=one.evidence)
    return Kept(
        account=type(empty.account).restore(empty.account.terms, state),
        watch=Watch.restore(state[_WATCH]) if _WATCH in state else Watch(),
        slices=slices,
    )
