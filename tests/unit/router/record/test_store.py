from __future__ import annotations

import math
import threading
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import IntegrityError, StatementError

from policies.types import Tier, Trial
from router.record.model import PromiseState
from router.record.store import Store
from tests.unit.router.record.records import make_record


def test_a_record_comes_back_as_it_was(store: Store) -> None:
    record = make_record("i1")
    assert store.append([record]) == 1
    assert store.interaction("i1") == record
    assert store.interaction("i2") is None


def test_a_batch_takes_few_statements(url: str) -> None:
    """Each statement gives up the interpreter, which costs a writer beside a busy loop a turn."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        executemany = rest[-1]
        seen.append(f"many {statement}" if executemany else statement)

    with closing(Store.open(url)) as store:
        event.listen(Engine, "before_cursor_execute", note)
        try:
            store.append([make_record("first")])
            alone = len(seen)
            seen.clear()
            store.append([make_record(f"i{n}") for n in range(200)])
        finally:
            event.remove(Engine, "before_cursor_execute", note)
        assert store.interaction("i199") == make_record("i199")
    assert len(seen) <= alone + 3 * 2  # 200 = 128 + 64 + 8, in each of three tables
    assert not [statement for statement in seen if statement.startswith("many ")]


def test_unknown_is_kept_apart_from_zero_and_false(store: Store) -> None:
    bare = make_record(
        "i1", cost_usd=None, teacher_cost_usd=None, agreed=None, draft_agreed=None, level=None
    )
    calls = (replace(bare.attempts[0], usage=None, cost_usd=None, status=None),)
    zero = make_record("i2", cost_usd=Decimal(0), agreed=False, draft_agreed=False, level=0)
    bare = replace(bare, attempts=calls)
    store.append([bare, zero])
    assert store.interaction("i1") == bare
    assert store.interaction("i2") == zero


def test_hostile_content_is_kept_readable(store: Store) -> None:
    record = make_record(
        "i1",
        input_text="half \ud83d and \x00 and whole \U0001f600 ü",
        request={"messages": [{"content": "half \ud83d and \x00", "n": 10**40}]},
        answer={"content": None},
        trace=({"threshold": math.inf, "confidence": math.nan},),
        workload="w'; drop table interactions --",
    )
    store.append([record])
    kept = store.interaction("i1")
    assert kept is not None
    assert kept.input_text == "half \ufffd and \ufffd and whole \U0001f600 ü"
    assert kept.request == record.request
    assert kept.answer == {"content": None}
    assert kept.trace == ({"threshold": None, "confidence": None},)
    assert store.workloads() == [record.workload]


def test_what_is_not_stored_leaves_no_content(store: Store) -> None:
    record = make_record("i1", stored=False, train_ok=True, draft={"content": "secret"})
    store.append([record])
    kept = store.interaction("i1")
    assert kept == replace(
        record,
        request=None,
        input_text="",
        answer=None,
        teacher_answer=None,
        draft=None,
        train_ok=False,
    )
    assert list(store.training_rows("support")) == []


def test_a_batch_may_be_repeated(store: Store) -> None:
    first, second, third = (make_record(f"i{n}") for n in range(3))
    assert store.append([first, second]) == 2
    assert store.append([second, third, third]) == 1
    assert [r.id for r in store.latest(10)] == ["i2", "i1", "i0"]
    assert store.append([]) == 0


def test_a_batch_is_written_whole_or_not_at_all(store: Store) -> None:
    good = make_record("good")
    stray = replace(good.attempts[0], interaction_id="nobody")
    bad = make_record("bad", attempts=(stray,))
    state = {"support": PromiseState(terms="t", state={})}
    with pytest.raises(IntegrityError):
        store.append([good, bad], state)
    assert store.latest(10) == []
    assert store.promise_state("support") is None
    unfit = make_record("unfit", cost_usd=0.5)
    with pytest.raises(StatementError):
        store.append([good, unfit])
    assert store.latest(10) == []


def test_latest_is_newest_first_with_attempts(store: Store) -> None:
    for n in range(5):
        store.append([make_record(f"i{n}", workload="a" if n % 2 else "b")])
    assert [r.id for r in store.latest(2)] == ["i4", "i3"]
    assert [r.id for r in store.latest(9, "a")] == ["i3", "i1"]
    assert all(len(r.attempts) == 1 for r in store.latest(9))


def test_attempts_keep_their_order(store: Store) -> None:
    record = make_record("i1")
    calls = tuple(replace(record.attempts[0], n=n, error=f"e{n}") for n in range(12))
    store.append([replace(record, attempts=tuple(reversed(calls)))])
    kept = store.interaction("i1")
    assert kept is not None
    assert kept.attempts == calls


def test_training_rows_are_teacher_answers_with_consent(store: Store) -> None:
    store.append(
        [
            make_record("yes", draft={"content": "x"}, draft_agreed=False, release="r1"),
            make_record("no-consent", train_ok=False),
            make_record("no-answer", teacher_answer=None, tier=Tier.STUDENT),
            make_record("elsewhere", workload="other"),
            make_record("audited", tier=Tier.STUDENT, propensity=0.05),
        ]
    )
    found = list(store.training_rows("support"))
    assert [row.id for row in found] == ["yes", "audited"]
    first = found[0]
    assert first.teacher_answer == {"content": "delivery"}
    assert (first.draft, first.draft_agreed, first.release) == ({"content": "x"}, False, "r1")
    assert (found[1].tier, found[1].propensity) == (Tier.STUDENT, 0.05)
    assert store.count_answers("support") == 2
    assert store.count_answers("nowhere") == 0
    assert store.answers_by_workload() == {"support": 2, "other": 1}
    assert store.workloads() == ["other", "support"]


def test_training_rows_go_on_after_a_seq(store: Store) -> None:
    store.append([make_record(f"i{n}") for n in range(1203)])
    found = list(store.training_rows("support"))
    assert [row.id for row in found] == [f"i{n}" for n in range(1203)]
    rest = store.training_rows("support", after_seq=found[1199].seq)
    assert [row.id for row in rest] == ["i1200", "i1201", "i1202"]
    assert [row.id for row in store.training_rows("support", limit=2)] == ["i0", "i1"]


def test_trials_are_what_a_certificate_needs(store: Store) -> None:
    served: dict[str, Any] = {"tier": Tier.STUDENT, "level": 3, "propensity": 0.95, "floor": 0.05}
    served |= {"confidence": 0.9, "evidence": {"nearest": 0.7}, "release": "r1"}
    store.append(
        [
            make_record("observed", draft_agreed=True, level=20),
            make_record("served", seen=False, teacher_version=None, **served),
            make_record("proven", level=2, draft_agreed=False, propensity=0.05, floor=0.05),
            make_record("not comparable", level=1, draft_agreed=None),
            make_record("no draft"),
        ]
    )
    found = list(store.trials("support"))
    asked: dict[str, Any] = {"seen": True, "teacher_version": "big-70b-2026"}
    drafted: dict[str, Any] = {"confidence": 0.9, "nearest": 0.7, "release": "r1", "served": True}
    assert [trial for _, trial in found] == [
        Trial(level=20, wrong=False, propensity=1.0, floor=1.0, **asked),
        Trial(level=3, seen=False, wrong=True, propensity=0.95, floor=0.05, **drafted),
        Trial(level=2, wrong=True, propensity=0.05, floor=0.05, **asked),
        Trial(level=1, wrong=True, propensity=1.0, floor=1.0, **asked),
    ]
    assert list(store.trials("support", after_seq=found[1][0])) == found[2:]


def test_a_promise_state_reaches_to_its_workloads_last_interaction(store: Store) -> None:
    assert store.promise_state("a") is None
    batch = [
        make_record("i1", workload="a", level=1),
        make_record("i2", workload="a", level=1),
        make_record("i3", workload="b", level=1),
    ]
    store.append(batch, {"a": PromiseState(terms="t1", state={"trials": 2})})
    kept = store.promise_state("a")
    assert kept is not None
    assert (kept.terms, kept.state) == ("t1", {"trials": 2})
    assert list(store.trials("a", after_seq=kept.upto_seq)) == []
    store.append([make_record("i4", workload="a", level=1)])
    assert len(list(store.trials("a", after_seq=kept.upto_seq))) == 1
    store.append([], {"a": PromiseState(terms="t2", state={"trials": 3})})
    later = store.promise_state("a")
    assert later is not None
    assert (later.terms, later.upto_seq > kept.upto_seq) == ("t2", True)
    assert store.promise_state("b") is None


def test_teacher_costs_are_real_ones_only(store: Store) -> None:
    store.append(
        [
            make_record("i1", teacher_cost_usd=Decimal("0.1")),
            make_record("i2", teacher_cost_usd=Decimal("0.2")),
            make_record("i3", teacher_cost_usd=Decimal(9), teacher_cost_estimated=True),
            make_record("i4", teacher_cost_usd=None),
        ]
    )
    assert store.teacher_costs() == {"support": (Decimal("0.3"), 2)}


def test_purge_takes_attempts_along_and_never_reuses_a_seq(store: Store) -> None:
    old = [make_record(f"old{n}", created_at=10.0) for n in range(1001)]
    store.append([*old, make_record("new", created_at=20.0)])
    last = list(store.training_rows("support"))[-1].seq
    assert store.purge_before(20.0) == 1001
    assert store.purge_before(20.0) == 0
    assert [r.id for r in store.latest(9)] == ["new"]
    assert store.purge_before(21.0) == 1
    assert store.append([make_record("old0"), make_record("newest")]) == 1  # billed once for good
    assert min(row.seq for row in store.training_rows("support")) > last
    assert store.spending().attempts == 1003


def test_threads_lose_nothing_and_tear_nothing(store: Store) -> None:
    _check_threads(store)


def test_threads_share_a_store_in_memory() -> None:
    store = Store.open(":memory:")
    _check_threads(store)
    store.close()


def _check_threads(store: Store) -> None:
    torn: list[str] = []
    failed: list[BaseException] = []

    def write(name: str) -> None:
        try:
            for n in range(20):
                store.append([make_record(f"{name}-{n}-{k}", workload=f"{n}") for k in range(3)])
                for record in store.latest(3):
                    torn.extend([record.id] if len(record.attempts) != 1 else [])
                if store.totals().interactions % 3:
                    torn.append("batch")
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (failed, torn) == ([], [])
    totals = store.totals()
    assert totals.interactions == 120
    assert totals.cost_usd == 120 * Decimal("0.000123456789")
