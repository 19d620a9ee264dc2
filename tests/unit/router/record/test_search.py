"""Finding interactions, and sums that are kept instead of counted again."""

from __future__ import annotations

import random
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from policies.types import Tier
from router.record.model import Interaction
from router.record.rollups import CHUNK
from router.record.schema import interactions
from router.record.search import Wanted
from router.record.store import Store
from router.record.sums import SUMS, aggregates
from router.record.texts import find_words
from tests.unit.router.record.records import make_record

MIXED = 3 * CHUNK + 40


def make_mixed(count: int) -> list[Interaction]:
    chance = random.Random(7)
    return [_make(n, chance) for n in range(count)]


def _make(n: int, chance: random.Random) -> Interaction:
    served = chance.random() < 0.4
    seen = not served or chance.random() < 0.3
    changes: dict[str, Any] = {
        "created_at": float(n),
        "workload": chance.choice(["shop", "bank"]),
        "tier": chance.choice([Tier.STUDENT, Tier.RECALL]) if served else Tier.TEACHER,
        "reason": "certified" if served else chance.choice(["proof", "below_threshold"]),
        "status": "error" if chance.random() < 0.05 else "ok",
        "seen": seen,
        "propensity": 0.3,
        "agreed": (chance.random() < 0.8 if seen else None) if served else True,
        "draft_agreed": chance.random() < 0.8 if seen else None,
        "cost_usd": None if chance.random() < 0.1 else Decimal(n).scaleb(-6),
        "attempts": (),
    }
    return make_record(f"i{n}", **changes)


@pytest.mark.parametrize("workload", [None, "shop", "nobody"])
def test_rolled_up_figures_are_the_counted_ones(store: Store, workload: str | None) -> None:
    store.append(make_mixed(MIXED))
    counted = store.totals(workload)
    store.roll_up()
    rolled = store.totals(workload)
    assert rolled.agreement == pytest.approx(counted.agreement)
    assert rolled.checks is not None
    assert counted.checks is not None
    assert vars(rolled.checks) == pytest.approx(vars(counted.checks))
    same = [name for name in vars(counted) if name not in ("agreement", "checks")]
    assert [getattr(rolled, name) for name in same] == [getattr(counted, name) for name in same]
    slices = store.series(workload, 2)
    assert sum(one.interactions for one in slices) == counted.interactions
    assert sum(one.cost_usd for one in slices) == counted.cost_usd
    assert len(slices) == (0 if workload == "nobody" else 2)
    assert [one.first_at for one in slices] == sorted(one.first_at or 0.0 for one in slices)


def test_what_is_written_and_erased_later_counts(store: Store) -> None:
    rows = make_mixed(MIXED)
    store.append(rows[:1200])
    store.roll_up()
    store.append(rows[1200:])
    assert store.totals().interactions == MIXED
    store.purge_before(700.0)  # a whole chunk and a part of the next
    store.roll_up()
    left = [row for row in rows if row.created_at >= 700.0]
    totals = store.totals()
    assert (totals.interactions, totals.first_at) == (len(left), 700.0)
    assert totals.cost_usd == sum(row.cost_usd for row in left if row.cost_usd is not None)


def test_rollups_have_the_sums_in_their_order() -> None:
    assert [one.name for one in SUMS] == [
        getattr(a, "name", "") for a in aggregates(interactions.c)
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(workload="shop"),
        Wanted(tier=Tier.RECALL, status="ok"),
        Wanted(reason="proof", workload="bank"),
        Wanted(disagreed="answer"),
        Wanted(disagreed="draft"),
        Wanted(disagreed="either", least_usd=Decimal("0.0002")),
        Wanted(least_usd=Decimal("0.0001"), most_usd=Decimal("0.0003")),
        Wanted(reason="nothing has it"),
    ],
    ids=lambda wanted: "-".join(f"{k}={v}" for k, v in vars(wanted).items() if v is not None),
)
def test_what_is_found_is_what_fits(store: Store, wanted: Wanted) -> None:
    rows = make_mixed(300)
    store.append(rows)
    expected = [row.id for row in reversed(rows) if _fits(row, wanted)]
    first = store.find_interactions(wanted, 40)
    rest = store.find_interactions(wanted, 500, first[-1].seq) if first else []
    assert [one.id for one in (*first, *rest)] == expected
    assert len(first) == min(40, len(expected))


def _fits(row: Interaction, wanted: Wanted) -> bool:
    for name in ("workload", "tier", "reason", "status"):
        value = getattr(wanted, name)
        if value is not None and getattr(row, name) != value:
            return False
    answer, draft = row.agreed is False, row.draft_agreed is False
    known = {None: True, "answer": answer, "draft": draft, "either": answer or draft}
    if not known[wanted.disagreed]:
        return False
    if wanted.least_usd is None and wanted.most_usd is None:
        return True
    if row.cost_usd is None:
        return False
    return (wanted.least_usd or 0) <= row.cost_usd <= (wanted.most_usd or Decimal(1))


def test_texts_are_found_by_id_as_long_as_they_are_stored(store: Store) -> None:
    store.append([make_record("a", input_text="x" * 300), make_record("b"), make_record("c")])
    store.append([make_record(f"n{n}", input_text=str(n)) for n in range(600)])
    found = store.find_texts(["a", "gone", *(f"n{n}" for n in range(600))])
    assert found == {"a": "x" * 200, **{f"n{n}": str(n) for n in range(600)}}
    store.erase_key("shop")
    assert store.find_texts(["a", "n5"]) == {}


def test_spending_is_told_by_key_and_workload(store: Store) -> None:
    store.append([make_record("a"), make_record("b", workload="bank", key_name="bank")])
    store.append([make_record("c")])
    spent = store.spent_since(99.0)
    each = Decimal("0.000123456789")
    told = [(one.key_name, one.workload, one.attempts, one.cost_usd, one.unknown) for one in spent]
    assert told == [("shop", "support", 2, 2 * each, 0), ("bank", "bank", 1, each, 0)]
    assert store.spent_since(1000.0) == []


def find_ids(store: Store, words: str, **wanted: Any) -> list[str]:
    assert store.index_texts(10.0) == 0
    found = store.find_interactions(Wanted(words=find_words(words), **wanted), 10)
    return [one.id for one in found]


def make_asked(*texts: str) -> list[Interaction]:
    return [make_record(f"t{n}", input_text=text, attempts=()) for n, text in enumerate(texts)]


def test_words_are_found_whole_and_in_any_order(store: Store) -> None:
    texts = ("Where's my PARCEL? (no. 7)", "parcels", "my other parcel, my e-mail", "", "O'Brien")
    store.append(make_asked(*texts))
    assert find_ids(store, "parcel my") == ["t2", "t0"]
    assert find_ids(store, "parcel other") == ["t2"]
    assert find_ids(store, 'mail" OR "parcels') == []
    assert find_ids(store, "brien") == ["t4"]
    assert find_ids(store, "parcel", tier=Tier.STUDENT) == []
    store.append([make_record("later", input_text="one more parcel", attempts=())])
    assert find_ids(store, "parcel") == ["later", "t2", "t0"]


def test_words_of_what_was_deleted_are_found_no_more(store: Store) -> None:
    old = [make_record("old", created_at=1.0, input_text="a parcel", attempts=())]
    bank = {"key_name": "bank", "input_text": "secret parcel", "attempts": ()}
    store.append([*old, *make_asked("my parcel"), make_record("b", **bank)])
    assert find_ids(store, "parcel") == ["b", "t0", "old"]
    store.purge_before(50.0)
    assert find_ids(store, "parcel") == ["b", "t0"]
    assert store.erase_key("bank") == ["b"]
    assert find_ids(store, "parcel") == ["t0"]
    assert find_ids(store, "secret") == []


def test_a_search_for_common_words_goes_on(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.record.texts.MOST_MATCHES", 4)
    monkeypatch.setattr("router.record.search.MOST_MATCHES", 4)
    store.append(make_asked(*["a parcel"] * 10))
    store.append([make_record("s", tier=Tier.STUDENT, input_text="parcel", attempts=())])
    wanted = Wanted(words=["parcel"], tier=Tier.TEACHER)
    seen: list[str] = []
    before: int | None = None
    for _ in range(4):
        store.index_texts(10.0)
        found = store.find_interactions(wanted, 10, before)
        seen += [one.id for one in found]
        before = store.find_next(wanted, found, 10, before)
        if before is None:
            break
    assert seen == [f"t{n}" for n in reversed(range(10))]
    assert before is None


def test_erased_words_are_nowhere_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "t.db"
    store = Store.open(f"sqlite:///{file}")
    store.append([make_record("b", key_name="bank", input_text="xyzzyplugh parcel", attempts=())])
    assert find_ids(store, "xyzzyplugh") == ["b"]
    store.erase_key("bank")
    store.close()
    with sqlite3.connect(file) as connection:
        blocks = connection.execute("SELECT block FROM texts_data").fetchall()
    connection.close()
    assert not any(b"xyzzyplugh" in block for (block,) in blocks)
