"""Orders: which queries come when, and what the teacher says to them."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.promise.orders import (
    ORDERS,
    STREAMS,
    Row,
    Rows,
    Source,
    by_length,
    limited,
    new_intents,
    noise_rising,
    other_teacher,
    read_source,
    spliced,
    teacher_swapped,
)

LABELS = ("a", "b", "c", "d", "e", "f")


def make_row(name: str, text: str, label: str) -> Row:
    messages = [{"role": "system", "content": "Sort."}, {"role": "user", "content": text}]
    return {"id": name, "workload": "w", "request": {"messages": messages, "temperature": 0}} | {
        "teacher": {"content": label}
    }


def make_rows(count: int = 60, prefix: str = "q") -> Rows:
    return [make_row(f"{prefix}{i}", "x" * (i % 7 + 1), LABELS[i % 6]) for i in range(count)]


SOURCE = Source(rows=make_rows(), other=make_rows(90, "o"), foreign=make_rows(90, "f"))


def answers(rows: Rows) -> list[str]:
    return [row["teacher"]["content"] for row in rows]


@pytest.mark.parametrize("name", list(ORDERS))
def test_an_order_has_as_many_rows_once_each_and_the_same_seed_gives_it_again(name: str) -> None:
    before = json.dumps(SOURCE.rows)
    rows = ORDERS[name](SOURCE, random.Random(3))
    assert len({row["id"] for row in rows}) == len(rows) == 60
    assert rows == ORDERS[name](SOURCE, random.Random(3))
    assert json.dumps(SOURCE.rows) == before


def test_half_of_the_answers_are_new_after_the_middle() -> None:
    rows = new_intents(SOURCE, random.Random(1))
    assert len(set(answers(rows[:30]))) == 3
    assert set(answers(rows)) == set(LABELS)


def test_what_a_row_says_about_its_kind_counts_before_its_answer() -> None:
    rows = [row | {"layout": f"l{i % 4}"} for i, row in enumerate(make_rows())]
    found = new_intents(Source(rows=rows, other=[], foreign=[]), random.Random(1))
    assert len({row["layout"] for row in found[:30]}) == 2


def test_by_length_is_sorted() -> None:
    lengths = [
        len(row["request"]["messages"][1]["content"]) for row in by_length(SOURCE, random.Random(1))
    ]
    assert lengths == sorted(lengths)


def test_the_second_half_comes_from_elsewhere() -> None:
    for order, prefix in ((spliced, "f"), (other_teacher, "o")):
        rows = order(SOURCE, random.Random(1))
        assert {row["id"][0] for row in rows[:30]} == {"q"}
        assert {row["id"][0] for row in rows[30:]} == {prefix}


def test_a_stream_that_no_other_model_answered_has_no_such_order() -> None:
    assert other_teacher(Source(rows=make_rows(), other=[], foreign=[]), random.Random(1)) == []


def test_a_third_of_the_answers_change_their_names_in_the_middle() -> None:
    truth = {row["id"]: row["teacher"]["content"] for row in SOURCE.rows}
    rows = teacher_swapped(SOURCE, random.Random(1))
    changed = [row["teacher"]["content"] != truth[row["id"]] for row in rows]
    assert not any(changed[:30])
    assert {truth[row["id"]] for row, new in zip(rows, changed, strict=True) if new} < set(LABELS)
    assert any(changed[30:])


def test_noise_rises() -> None:
    source = Source(rows=make_rows(6000), other=[], foreign=[])
    truth = {row["id"]: row["teacher"]["content"] for row in source.rows}
    rows = noise_rising(source, random.Random(1))
    changed = [row["teacher"]["content"] != truth[row["id"]] for row in rows]
    assert sum(changed[:1000]) < 40 < 80 < sum(changed[-1000:]) < 220


def test_a_limit_draws_rows_and_keeps_their_order() -> None:
    rows = limited(SOURCE, 10, random.Random(1)).rows
    places = [int(row["id"][1:]) for row in rows]
    assert len(rows) == 10
    assert places == sorted(places)
    assert limited(SOURCE, 600, random.Random(1)) is SOURCE


def test_a_source_is_read_with_foreign_queries_under_its_own_instructions(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    for name in STREAMS[:2]:
        with gzip.open(tmp_path / "streams" / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in make_rows(4, name))
    (tmp_path / "clinc150_full_oos.csv").write_text('text,label,split\n"hi, you",greet,train\n')
    source = read_source(tmp_path, STREAMS[0])
    assert Counter(row["id"][: len(STREAMS[1])] for row in source.other) == {STREAMS[1]: 4}
    assert source.foreign == [make_row("foreign-0", "hi, you", "greet")]
