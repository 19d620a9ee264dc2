"""The built-in stream: compact rows become whole requests."""

from __future__ import annotations

import json

from distill.demo.shop import WORKLOAD, read_shop
from router.wire.openai import parse_chat, system_prompt


def test_every_row_is_a_request_that_the_gateway_takes() -> None:
    rows = read_shop()
    assert len(rows) == 3030
    assert len({row.id for row in rows}) == len(rows)
    for row in rows:
        parse_chat(json.dumps(row.body).encode())
        assert row.workload == WORKLOAD
        assert row.teacher.answer.content
        assert row.teacher.usage is not None
        assert row.teacher.latency_ms


def test_all_rows_share_one_task_that_names_every_answer() -> None:
    rows = read_shop()
    (prompt,) = {system_prompt(row.body) for row in rows}
    listed = prompt.partition("The labels: ")[2].removesuffix(".").split(", ")
    assert set(listed) == {row.teacher.answer.content for row in rows}


def test_a_limit_takes_the_first_and_keeps_the_task() -> None:
    few, all_rows = read_shop(3), read_shop()
    assert few == all_rows[:3]


def test_a_product_line_appears_halfway() -> None:
    bikes = [
        n for n, row in enumerate(read_shop()) if "ebike" in (row.teacher.answer.content or "")
    ]
    assert len(bikes) > 100
    assert 1500 < bikes[0] < 1600
