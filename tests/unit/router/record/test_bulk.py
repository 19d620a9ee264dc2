"""Few statements for batches of many lengths: a driver remembers each one that it has seen."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from router.record.bulk import round_up
from router.record.store import Store
from tests.unit.router.record.records import make_record


def test_a_list_is_rounded_up_to_a_power_of_two() -> None:
    lengths = [len(round_up(["a"] * length)) for length in range(10)]
    assert lengths == [0, 1, 2, 4, 4, 8, 8, 8, 8, 16]
    assert round_up(["a", "b", "c"]) == ["a", "b", "c", "c"]


def test_batches_of_all_lengths_need_few_statements() -> None:
    statements: set[str] = set()

    def note(*execution: Any) -> None:
        statements.add(execution[2])

    store = Store.open(":memory:")
    event.listen(Engine, "before_cursor_execute", note)
    try:
        numbers = iter(range(10_000))
        for length in range(1, 40):
            batch = [make_record(f"int_{next(numbers)}") for _ in range(length)]
            assert store.append(batch) == length
    finally:
        event.remove(Engine, "before_cursor_execute", note)
        store.close()
    assert len(statements) < 40
