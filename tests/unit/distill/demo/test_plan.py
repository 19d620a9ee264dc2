"""What the demo makes of a configuration and a stream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from distill.demo.run import (
    Plan,
    choose_scale,
    choose_settings,
    describe,
    read_rows,
    recorded_price,
    write_config,
)
from distill.demo.shop import PRICE, read_shop
from distill.demo.traffic import Pace
from distill.streams import StreamRow
from router.errors import ConfigError
from router.settings.load import load_settings
from router.settings.model import ModelSettings, PromiseSettings, Settings, WorkloadSettings

PACE = Pace(rate=20.0, concurrency=8)
ROWS = read_shop(5)
URL = "http://127.0.0.1:7"


def plan(**changes: Any) -> Plan:
    usual: dict[str, Any] = {
        "stream": None,
        "settings": None,
        "promise": None,
        "limit": None,
        "seed": 0,
        "pace": PACE,
        "port": 0,
    }
    return Plan(**(usual | changes))


def own(**changes: Any) -> Settings:
    model = {
        "upstream": "https://api.example.com/v1",
        "model": "big",
        "api_key_env": "BIG_KEY",
        "distillation": "allowed",
    }
    return Settings(models={"big": ModelSettings.model_validate(model)}, **changes)


def test_the_default_promises_the_shop_and_prices_its_teacher(tmp_path: Path) -> None:
    settings = choose_settings(plan(), ROWS, tmp_path, URL)
    assert settings.teacher is not None
    assert (settings.teacher.upstream, settings.teacher.price) == (f"{URL}/v1", PRICE)
    (workload,) = settings.workloads
    assert (workload.name, workload.promise) == ("shop", PromiseSettings(agreement=0.95))


def test_the_file_says_the_same_as_the_settings(tmp_path: Path) -> None:
    for one in (plan(), plan(settings=own(), promise=0.9, port=4711)):
        settings = choose_settings(one, ROWS, tmp_path, URL)
        loaded = load_settings(write_config(settings, tmp_path), {})
        assert loaded.model_dump() == settings.model_dump()


def test_a_configuration_keeps_what_is_not_the_demos_own(tmp_path: Path) -> None:
    shop = WorkloadSettings(name="shop", promise=PromiseSettings(agreement=0.97))
    learning = {"every": "6h", "min_new_answers": 70}
    given = own(workloads=(shop,), learning=learning)
    settings = choose_settings(plan(settings=given), ROWS, tmp_path, URL)
    assert settings.workloads == (shop,)
    assert (settings.learning.every, settings.learning.min_new_answers) == (0.0, 70)
    assert settings.teacher is not None
    assert (settings.teacher.model, settings.teacher.api_key_env) == ("big", None)
    assert settings.store.url.startswith("sqlite:///")
    assert tmp_path.as_posix() in settings.store.url


def test_a_promise_on_the_command_line_outranks_the_configurations(tmp_path: Path) -> None:
    shop = WorkloadSettings(name="shop", promise=PromiseSettings(agreement=0.97))
    given = plan(settings=own(workloads=(shop,)), promise=0.9)
    settings = choose_settings(given, ROWS, tmp_path, URL)
    assert [w.promise.agreement for w in settings.workloads if w.promise] == [0.9]


def test_without_a_teacher_there_is_no_demo(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no teacher"):
        choose_settings(plan(settings=Settings()), ROWS, tmp_path, URL)


def _priced(*costs: str | None) -> Sequence[StreamRow]:
    return [
        replace(row, teacher=replace(row.teacher, cost_usd=None if c is None else Decimal(c)))
        for row, c in zip(ROWS, costs, strict=False)
    ]


def test_a_stream_that_knows_its_costs_prices_itself() -> None:
    of_a_file = plan(stream=Path("x.jsonl"))
    price = recorded_price(of_a_file, _priced("0.01", "0.03"))
    assert price is not None
    assert price.usd_per_request == Decimal("0.02")
    assert recorded_price(of_a_file, _priced("0.01", None)) is None


def test_the_teacher_is_only_as_fast_as_the_pace_needs() -> None:
    slow = [replace(row, teacher=replace(row.teacher, latency_ms=400.0)) for row in ROWS]
    assert choose_scale(slow, PACE) == 0.5
    assert choose_scale(slow, Pace(rate=5.0, concurrency=8)) == 1.0


def test_what_is_not_real_is_said() -> None:
    assert any("written for the demonstration" in line for line in describe(plan(), ROWS))
    bare = [replace(row, teacher=replace(row.teacher, usage=None, latency_ms=None)) for row in ROWS]
    denied = own()
    denied = denied.model_copy(
        update={
            "models": {"big": denied.models["big"].model_copy(update={"distillation": "denied"})}
        }
    )
    told = "\n".join(describe(plan(stream=Path("x.jsonl"), settings=denied), bare))
    assert "written for the demonstration" not in told
    for sentence in ("four characters a token", "answers at once", "NOTHING WILL BE LEARNED"):
        assert sentence in told


def test_the_sentences_count_and_name_what_is_slower() -> None:
    slow = [replace(ROWS[0], teacher=replace(ROWS[0].teacher, latency_ms=400.0))]
    told = describe(plan(stream=Path("x.jsonl")), slow)
    assert told[0] == "1 query of x.jsonl, answered as recorded."
    assert "The stand-in teacher answers in 50% of its recorded time." in told
    assert describe(plan(), ROWS)[0].startswith("5 messages to an online shop")


def test_the_shop_keeps_its_order_and_other_streams_are_shuffled(tmp_path: Path) -> None:
    assert [row.id for row in read_rows(plan(limit=5))] == [row.id for row in ROWS]
    stream = tmp_path / "s.jsonl"
    rows = [
        {
            "id": str(n),
            "request": {"messages": [{"role": "user", "content": str(n)}]},
            "teacher": {"content": "x"},
        }
        for n in range(50)
    ]
    stream.write_text("\n".join(map(json.dumps, rows)))
    first = [row.id for row in read_rows(plan(stream=stream))]
    assert first != sorted(first, key=int)
    assert first == [row.id for row in read_rows(plan(stream=stream))]
    assert first != [row.id for row in read_rows(plan(stream=stream, seed=1))]
