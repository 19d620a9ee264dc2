"""``tutelage frontier`` on a store that the real pipeline filled, against what came afterwards."""

from __future__ import annotations

import asyncio
import json
import math
import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from distill.replay.line import Line
from distill.replay.run import Replay
from distill.streams import StreamRow, read_stream
from policies.types import Tier
from router.settings.load import load_settings
from tests.integration.learning.messages import make_messages
from tests.integration.learning.shop import Shop
from tests.integration.replay.streams import SYSTEM, make_stream, write_stream
from tests.unit.router.record.records import make_record

TEACHER = {
    "upstream": "http://127.0.0.1:9/v1",
    "model": "m",
    "distillation": "allowed",
    "price": {"usd_per_request": 0.01},
}
LEARN = 150
FIRST = 450


def serve(shop: Shop, rows: list[StreamRow], seed: int) -> list[Line]:
    """What the pipeline makes of the rows, recorded in the shop's store."""
    settings = load_settings(shop.config, os.environ, need_secrets=False)
    replay = Replay(
        settings,
        seed=seed,
        folder=shop.releases,
        progress=lambda done, total, what: None,
        recorded_student=False,
        store_url=shop.url,
    )
    return list(asyncio.run(replay.run(rows)).lines)


def at(folder: Path, **policy: Any) -> Shop:
    workload = {"name": "shop", "match": {"system_prompt": "*"}, **policy}
    sections = {
        "models": {"teacher": TEACHER},
        "workloads": [workload],
        "learning": {"min_new_answers": 100_000},
    }
    return Shop(folder=folder, settings=sections)


@pytest.fixture
def rows(tmp_path: Path) -> list[StreamRow]:
    found = read_stream(write_stream(tmp_path / "s.jsonl", make_stream(900, seed=9, hard=0.2)))
    return list(found)


def test_the_prediction_holds_on_what_comes_later(tmp_path: Path, rows: list[StreamRow]) -> None:
    shop = at(tmp_path, promise={"agreement": 0.9})
    asked = {"messages": [{"role": "system", "content": SYSTEM}]}
    shop.answer(make_messages(LEARN, seed=2, hard=0.2), workload="shop", request=asked)
    assert shop.run("distill", "run", "--workload", "shop").code == 0
    serve(shop, rows[:FIRST], seed=1)
    said = shop.run("frontier", "--usd-per-interaction", "0.006", "--json")
    assert said.code == 0, said
    (frontier,) = json.loads(said.out)["frontiers"]
    assert frontier["interactions"] == frontier["drafts"] == FIRST
    assert frontier["checked"] < FIRST
    table = shop.run("frontier", "--workload", "shop").out
    for mark in ("teacher only", "student only", "in force", "keeps the promise"):
        assert mark in table

    outlooks = frontier["outlooks"]
    chosen = outlooks[frontier["marks"]["budget"]]
    assert chosen["cost_usd"]["high"] <= 0.006 < outlooks[0]["cost_usd"]["value"]
    # The operator applies it: the same pipeline, release and store, another policy.
    applied = at(tmp_path, policy="threshold", threshold=chosen["threshold"])
    lines = serve(applied, rows[FIRST:], seed=2)
    assert {line.release for line in lines} == {frontier["release"]}
    agreed = sum(line.agreed for line in lines) / len(lines)
    cost_usd = sum(float(line.cost_usd or 0) for line in lines) / len(lines)
    served = sum(line.tier == Tier.STUDENT for line in lines) / len(lines)
    # The interval is that of the mean; what came is a sample, with noise of its own.
    noise = 2.0 * math.sqrt(max(agreed * (1.0 - agreed), 0.01) / len(lines))
    assert chosen["agreement"]["low"] - noise <= agreed <= chosen["agreement"]["high"] + noise
    noise = 0.01 * 2.0 * math.sqrt(served * (1.0 - served) / len(lines))
    assert chosen["cost_usd"]["low"] - noise <= cost_usd <= chosen["cost_usd"]["high"] + noise


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    shop = at(tmp_path, promise={"agreement": 0.9})
    assert "There is no store at" in shop.run("frontier").refusal
    with closing(shop.open()):
        pass
    assert shop.run("frontier").refusal.startswith("Not yet: nothing is logged")
    shop.answer(make_messages(10, seed=2), workload="shop")
    assert "there are: shop" in shop.run("frontier", "--workload", "other").refusal
    assert "has no release in force" in shop.run("frontier", "--workload", "shop").refusal
    everything = shop.run("frontier", "--json")
    assert everything.code == 1
    assert json.loads(everything.out)["frontiers"] == []
    assert "shop" in json.loads(everything.out)["not_yet"]
    nowhere = str(tmp_path / "none" / "f.json")
    assert "can't be written" in shop.run("frontier", "--out", nowhere).refusal


@pytest.mark.parametrize("amount", ["-1", "much", "nan"])
def test_a_budget_that_is_none_is_bad_usage(tmp_path: Path, amount: str) -> None:
    said = at(tmp_path).run("frontier", "--usd-per-interaction", amount)
    assert (said.code, said.out) == (2, "")


def test_it_reads_beside_a_writer_and_writes_its_report(tmp_path: Path) -> None:
    shop = at(tmp_path, promise={"agreement": 0.9})
    with closing(shop.open()) as store:
        store.add_release(digest="d" * 64, workload="shop", path="nowhere")
        store.set_active("shop", "d" * 64, "test")
        fields = {"workload": "shop", "release": "d" * 64, "draft_agreed": True}
        store.append([make_record(f"a{i}", confidence=i / 150, **fields) for i in range(150)])
        out = tmp_path / "frontier.json"
        said = shop.run("frontier", "--out", str(out))
        assert said.code == 0, said
        assert store.append([make_record("late", confidence=0.5, **fields)]) == 1
    (frontier,) = json.loads(out.read_text())["frontiers"]
    assert (frontier["drafts"], frontier["marks"]["promise"]) == (
        150,
        len(frontier["outlooks"]) - 1,
    )
    assert f"release {'d' * 12}, 150 interactions" in said.out
