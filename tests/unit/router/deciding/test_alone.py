"""What a further model would be worth alone, from drafts that were made and compared by chance."""

from __future__ import annotations

from decimal import Decimal

import numpy as np

from router.deciding.alone import Alone, read_alone
from router.record.store import Store
from tests.unit.router.record.records import make_record


def fill(store: Store, rng: np.random.Generator, count: int) -> None:
    """Easy requests, one in fifty drafted for and one in five of those compared; and hard ones, all
    drafted for and compared. It agrees on 90 % of the first and 40 % of the others."""
    for i in range(count):
        easy = i % 2 == 0
        drafted, seen = (0.02, 0.2) if easy else (1.0, 1.0)
        if rng.random() >= drafted or rng.random() >= seen:
            continue
        agreed = bool(rng.random() < (0.9 if easy else 0.4))
        put(store, i, agreed, drafted, seen)


def put(store: Store, i: int, agreed: bool, drafted: float, seen: float, pair: str = "p") -> None:
    compared = {"signals": {}, "agreed": agreed, "pair": pair}
    step = {"rung": "mid", "tier": "student", "propensity": drafted, "compared": compared}
    told = {"seen": True, "propensity": seen, "trace": (step,)}
    store.append([make_record(f"int_{pair}_{i}", workload="shop", **told)])


def test_an_unlikely_draft_stands_for_those_that_were_not_made() -> None:
    store = Store.open(":memory:")
    fill(store, np.random.default_rng(5), 6_000)
    (found,) = read_alone(store, "shop")
    store.close()
    # Of what was compared hardly half agrees; of all requests 65 % would.
    assert found.low < 0.65 < found.high
    assert found.agreement > 0.55
    assert found.high - found.low < 0.35
    assert found.usd is None


def test_only_the_newest_model_behind_a_name_is_told_of() -> None:
    store = Store.open(":memory:")
    for i in range(80):
        put(store, i, agreed=False, drafted=1.0, seen=1.0, pair="before")
    for i in range(60):
        put(store, i, agreed=True, drafted=1.0, seen=1.0)
    (found,) = read_alone(store, "shop")
    store.close()
    assert (found.compared, found.agreement, found.high) == (60, 1.0, 1.0)
    assert 0.9 < found.low < 1.0


def test_too_few_say_nothing() -> None:
    store = Store.open(":memory:")
    fill(store, np.random.default_rng(5), 60)
    assert read_alone(store, "shop") == []
    store.close()


def test_it_is_one_line() -> None:
    one = Alone(
        workload="shop",
        model="mid",
        compared=400,
        agreement=0.71,
        low=0.68,
        high=0.74,
        usd=Decimal("0.0004"),
    )
    assert one.describe() == (
        "mid alone, everything served: agreement 71 % [68 %, 74 %] at $0.000400 an interaction"
        " (400 drafts compared)"
    )
    assert one.to_json()["usd"] == "0.0004"
