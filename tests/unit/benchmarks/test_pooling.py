"""How the pooling benchmark splits a stream, and makes one part's teacher bad."""

from __future__ import annotations

import random
from typing import Any

from benchmarks.promise.pooling import rename, split_rows

ROWS: list[dict[str, Any]] = [
    {"id": str(i), "teacher": {"content": f"label {i % 6}"}, "gold": f"label {i % 6}"}
    for i in range(120)
]


def test_intents_stay_together_and_no_row_is_lost() -> None:
    parts = split_rows(ROWS, "intents", 3, random.Random(0))
    assert sorted(row["id"] for row in parts) == sorted(row["id"] for row in ROWS)
    of_label = {(row["gold"], row["workload"]) for row in parts}
    assert len(of_label) == 6
    at_random = split_rows(ROWS, "random", 3, random.Random(0))
    assert len({(row["gold"], row["workload"]) for row in at_random}) > 6


def test_only_the_second_half_of_one_part_gets_other_names() -> None:
    parts = split_rows(ROWS, "random", 3, random.Random(0))
    renamed = rename(parts, "part-2", random.Random(0))
    changed = [i for i, (a, b) in enumerate(zip(parts, renamed, strict=True)) if a != b]
    assert changed == [i for i in range(60, 120) if parts[i]["workload"] == "part-2"]
    assert all(renamed[i]["teacher"]["content"] != parts[i]["gold"] for i in changed)
    assert all(renamed[i]["gold"] == parts[i]["gold"] for i in changed)
