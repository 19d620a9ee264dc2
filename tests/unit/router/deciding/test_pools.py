"""Pools survive restarts and changes of the configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.promise.policy import InForce
from policies.promise.pooled import REJECTED
from policies.types import Trial
from router.deciding.pools import PoolKeeper, find_pools
from router.deciding.promise import PromiseKeeper
from router.explain.context import describe_standing
from router.meter.metrics import Metrics
from router.record.model import PromiseState
from router.record.store import Store
from router.settings.keys import KeySettings
from router.settings.model import PromiseSettings, Settings, WorkloadSettings
from router.ui.standing import describe_workloads, read_account
from tests.unit.router.record.records import make_record

PROMISE = PromiseSettings(agreement=0.95)
GOOD = Trial(level=0, seen=True, wrong=False, propensity=1.0, floor=1.0)
MEMBERS = ("a", "b", "c")


class Ordered(PoolKeeper):
    """Notes how often a member's own account had heard when the bet was fixed."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.heard: list[int] = []

    def floor(self, workload: str) -> float:
        pooled = self.pooled(workload)
        self.heard.append(-1 if pooled is None else pooled.member.own.trials)
        return super().floor(workload)


def test_a_bet_is_fixed_before_the_members_own_account_hears_of_the_trial() -> None:
    gateway = Gateway(Store.open(":memory:"), configure("a", "b"))
    ordered = Ordered(gateway.settings)
    gateway.keeper.pools = ordered
    for name in ("a", "b"):
        gateway.keeper._kept.pop(name)
    gateway.open()
    for _ in range(3):
        gateway.observe("a")
    assert ordered.heard == [0, 1, 2]


def configure(*names: str, pool: str | None = "p", promise: PromiseSettings = PROMISE) -> Settings:
    return Settings(
        workloads=tuple(WorkloadSettings(name=one, promise=promise, pool=pool) for one in names)
    )


class Gateway:
    """A keeper whose interactions reach the store in batches, each with its last snapshots."""

    def __init__(self, store: Store, settings: Settings, batch: int = 7) -> None:
        self.store, self.settings, self._batch = store, settings, batch
        self.metrics = Metrics()
        self.keeper = PromiseKeeper(store, self.metrics, settings)
        self._waiting: list[tuple[str, Trial, PromiseState | None]] = []
        self.open()

    def open(self) -> None:
        for one in self.settings.workloads:
            assert one.promise is not None
            self.keeper.account(one.name, one.promise)

    def observe(self, workload: str, trial: Trial = GOOD) -> None:
        self._waiting.append((workload, trial, self.keeper.observe(workload, trial)))
        if len(self._waiting) == self._batch:
            self.write()

    def write(self, *, snapshots: bool = True) -> None:
        count = len(self.store.latest(10_000))
        records = [
            make_record(
                f"i{count + i}",
                workload=workload,
                level=trial.level,
                seen=trial.seen,
                draft_agreed=not trial.wrong,
            )
            for i, (workload, trial, _) in enumerate(self._waiting)
        ]
        states = {w: state for w, _, state in self._waiting if state is not None}
        self.store.append(records, states if snapshots else {})
        self._waiting.clear()

    def in_force(self, workload: str) -> InForce:
        account = self.keeper.account(workload, PROMISE)
        return self.keeper.pools.in_force(workload, account)  # type: ignore[arg-type]

    def state(self) -> Any:
        """The pool's, and each member's own."""
        kept = self.keeper.pools.add_to("a", PromiseState(terms="", state={}))
        own = [self.keeper.account(name, PROMISE).state() for name in MEMBERS]
        return kept.state["pool"], own


def run(gateway: Gateway, rounds: int, *, errs: str = "") -> None:
    for i in range(rounds):
        for name in MEMBERS:
            gateway.observe(name, replace(GOOD, wrong=name == errs and i % 40 == 39))


def test_a_restart_goes_on_where_it_stood_also_after_the_last_snapshot() -> None:
    store = Store.open(":memory:")
    before = Gateway(store, configure(*MEMBERS))
    run(before, 61, errs="c")
    before.write()
    run(before, 2, errs="c")
    before.write(snapshots=False)  # what a killed process had in its journal
    level = before.in_force("a").level()
    assert level is not None
    after = Gateway(store, configure(*MEMBERS))
    assert after.state() == before.state()
    assert after.in_force("a").level() == level
    run(before, 3)
    run(after, 3)
    assert after.state() == before.state()


def test_who_was_put_out_stays_out_after_a_restart_and_comes_back_under_another_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store.open(":memory:")
    before = Gateway(store, configure(*MEMBERS))
    run(before, 60)
    while before.keeper.pools.read("c").why is None:  # type: ignore[union-attr]
        before.observe("c", replace(GOOD, wrong=True))
    before.write()
    assert "Workload c is put out of its pool: at the pool's level it errs" in caplog.text
    after = Gateway(store, configure(*MEMBERS))
    assert set(after.keeper.pools.feeding()) == {"a", "b"}
    other = Gateway(store, configure(*MEMBERS, pool="q"))
    assert set(other.keeper.pools.feeding()) == set(MEMBERS)
    assert other.keeper.pools.read("a").interactions == 0  # type: ignore[union-attr]
    assert other.keeper.account("a", PROMISE).trials == 60


def test_other_terms_start_a_pool_afresh() -> None:
    store = Store.open(":memory:")
    run(Gateway(store, configure(*MEMBERS)), 60)
    strict = Gateway(store, configure(*MEMBERS, promise=PromiseSettings(agreement=0.97)))
    standing = strict.keeper.pools.read("a")
    assert standing is not None
    assert (standing.interactions, standing.level) == (0, None)


def test_a_member_may_be_added_and_taken_out_while_it_serves() -> None:
    gateway = Gateway(Store.open(":memory:"), configure("a", "b", "c", pool=None))
    run(gateway, 40)
    assert gateway.keeper.pools.read("a") is None
    two = Settings(
        workloads=tuple(
            WorkloadSettings(name=one, promise=PROMISE, pool=None if one == "c" else "p")
            for one in MEMBERS
        )
    )
    gateway.keeper.pools.follow(two)
    gateway.open()
    run(gateway, 90)
    assert gateway.in_force("a").level() is not None
    gateway.keeper.pools.follow(configure(*MEMBERS))
    gateway.open()
    assert gateway.keeper.pools.read("c").standing == "new"  # type: ignore[union-attr]
    run(gateway, 31)
    assert gateway.keeper.pools.read("c").standing == "member"  # type: ignore[union-attr]
    gateway.keeper.pools.follow(two)
    assert gateway.keeper.pools.read("c") is None
    gateway.keeper.pools.follow(configure(*MEMBERS, pool=None))
    assert gateway.keeper.pools.feeding() == {}


def test_what_cannot_be_read_starts_the_pool_afresh_and_keeps_the_members(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = Store.open(":memory:")
    before = Gateway(store, configure(*MEMBERS))
    run(before, 60)
    before.write()
    for name in MEMBERS:
        stored = store.promise_state(name)
        assert stored is not None
        pool = dict(stored.state["pool"])  # type: ignore[arg-type, call-overload]
        pool["state"] = pool["state"] | {"certificate": {}}
        store.append([], {name: replace(stored, state={**stored.state, "pool": pool})})
    after = Gateway(store, configure(*MEMBERS))
    assert "What pool p has proven can't be used" in caplog.text
    assert after.keeper.pools.read("a").interactions == 0  # type: ignore[union-attr]
    assert after.keeper.account("a", PROMISE).trials == 60


def test_each_tenant_has_pools_of_its_own() -> None:
    keys = tuple(KeySettings(name=t, tenant=t, key_env=f"{t}_KEY") for t in ("x", "y"))
    settings = configure("a", "b").model_copy(update={"keys": keys})
    assert [(one.name, one.members) for one in find_pools(settings)] == [
        ("p@x", ("a@x", "b@x")),
        ("p@y", ("a@y", "b@y")),
    ]


def test_a_workload_without_a_pool_is_served_by_its_own_certificate() -> None:
    gateway = Gateway(Store.open(":memory:"), configure("a", pool=None))
    assert gateway.in_force("a") is gateway.keeper.account("a", PROMISE)
    assert b"tutelage_promise_pooled{" not in gateway.metrics.render()[0]


def test_a_borrowed_level_is_shown_as_one() -> None:
    gateway = Gateway(Store.open(":memory:"), configure(*MEMBERS))
    run(gateway, 60)
    level = gateway.in_force("a").level()
    assert level is not None
    metrics = gateway.metrics.render()[0].decode()
    assert 'tutelage_promise_pooled{workload="a"} 1.0' in metrics
    account, pool = gateway.keeper.account("a", PROMISE), gateway.keeper.pools.read("a")
    reading = read_account(account, pool=pool)
    assert (reading.level, reading.trials) == (level, 60)
    entry, *_ = describe_workloads(gateway.settings, {"a": reading}, {"a": "digest"}, "a")
    assert entry["mode"] == f"Serving at level {level + 1} of 20, borrowed from pool p"
    assert (entry["serving"], entry["promise"]["pool"]["standing"]) == (True, "member")
    standing = describe_standing(
        gateway.store, "a", PROMISE, account, None, None, pool=gateway.keeper.pools.read("a")
    )
    assert (standing["level"], standing["pool"]["borrowed"]) == (level + 1, True)
    while gateway.keeper.pools.read("a").why is None:  # type: ignore[union-attr]
        gateway.observe("a", replace(GOOD, wrong=True))
    pooled = gateway.keeper.pools.pooled("a")
    assert pooled is not None
    assert pooled.member.suspicion.value() >= REJECTED
    reading = read_account(account, pool=gateway.keeper.pools.read("a"))
    entry, *_ = describe_workloads(gateway.settings, {"a": reading}, {"a": "digest"}, "a")
    assert "put out of pool p: at the pool's level it errs more often" in entry["mode"]
    assert 'tutelage_promise_pooled{workload="a"} 0.0' in gateway.metrics.render()[0].decode()
