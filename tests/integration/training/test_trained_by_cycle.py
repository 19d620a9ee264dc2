"""A cycle trains the student that writes: from an imported log to the release in force, and on. The
model has a few thousand weights; the server that drafts is the shipped stand-in."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from router.record.store import Store
from router.release import load_release
from tests.integration.generative.fake_vllm import FakeVllm
from tests.integration.training.test_train_command import (
    configure,
    read_curve,
    start,
    tutelage,
    write_log,
)
from tests.training_environment import training_python

pytestmark = pytest.mark.long

ENOUGH, MORE, FEW = 600, 300, 300


async def prepare(folder: Path, server: FakeVllm, base: Path, **train: Any) -> Path:
    """The configuration, in which cycles train."""
    config = configure(folder, server.base_url)
    given = yaml.safe_load(config.read_text())
    terms = {"base": str(base), "python": str(training_python()), "rank": 4, "batch": 8, **train}
    given["learning"] = {"train": terms}
    config.write_text(yaml.safe_dump(given))
    return config


async def take_in(config: Path, first: int, count: int) -> None:
    """Answers of the teacher, as an imported log."""
    log = write_log(config.parent / f"log-{first}.jsonl", rows=count, seed=first)
    words = ("data", "import", log, "--workload", "shop", "--teacher", "teacher")
    code, _, err = await tutelage(*words, "--config", config)
    assert code == 0, err


async def learn(config: Path) -> tuple[int, dict[str, Any], str]:
    code, out, err = await tutelage("distill", "run", "--config", config, "--json")
    return code, json.loads(out) if out.strip() else {}, err


@contextmanager
def opened(config: Path) -> Iterator[Store]:
    store = Store.open(f"sqlite:///{config.parent}/t.db")
    yield store
    store.close()


async def test_each_cycle_trains_a_student_and_begins_its_trial(tmp_path: Path, base: Path) -> None:
    async with FakeVllm() as server:
        config = await prepare(tmp_path, server, base)
        await take_in(config, 0, ENOUGH)
        code, first, err = await learn(config)
        assert (code, first["result"]) == (0, "promoted"), err
        with opened(config) as store:
            (held,) = store.active_releases().values()
            row, (cycle,) = store.release(held), store.cycles(5, "shop")
        assert held == first["release"]
        assert row is not None
        release = load_release(Path(row.path))
        assert release.gate is not None
        assert release.dataset == first["dataset"]["digest"]
        assert [(one["name"], one["verdict"]) for one in row.report["rungs"]] == [
            ("agreement", "skipped"),  # there was none in force
            ("shadow", "skipped"),
            ("canary", "skipped"),
        ]
        assert [step["name"] for step in cycle.detail["steps"]] == [
            "reading",
            "training",
            "judging",
        ]
        assert first["judged"]["drafted"] == 120
        assert len(read_curve(first)) == 60  # 480 examples, eight a step

        await take_in(config, 1, MORE)
        code, second, err = await learn(config)
        assert code == 0, err
    assert second["examples"] > first["examples"]
    assert second["adapter"] != first["adapter"]
    # None of the imported questions was drafted by the first.
    assert [(one["name"], one["verdict"]) for one in second["rungs"]] == [("agreement", "skipped")]
    assert second["result"] == "on_trial"


async def test_one_that_was_ended_goes_on_with_what_it_began(tmp_path: Path, base: Path) -> None:
    async with FakeVllm() as server:
        config = await prepare(tmp_path, server, base, epochs=6)
        await take_in(config, 0, ENOUGH)
        process = await start("distill", "watch", "--config", config, "--look-every", "0.1")
        runs = tmp_path / "t-training" / "shop" / "runs"
        async with asyncio.timeout(120):
            while not list(runs.glob("*/checkpoint.pt")):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, err = await process.communicate()
        with opened(config) as store:
            (cycle,) = store.cycles(5, "shop")
        assert cycle.outcome == "failed", err
        assert "stopped" in cycle.detail["error"]
        assert cycle.detail["unfinished"]  # so the next one comes within minutes
        assert not server.adapters

        await take_in(config, 1, MORE)
        code, said, err = await learn(config)
        assert (code, said["result"]) == (0, "promoted"), err
    assert said["examples"] == 480  # of those that it began with
    assert len(list(runs.iterdir())) == 1
    assert read_curve(said) == list(range(1, 361))
    assert not (tmp_path / "t-training" / "shop" / "under-way.json").exists()


async def test_with_few_answers_the_student_as_it_is_gets_a_gate(
    tmp_path: Path, base: Path
) -> None:
    async with FakeVllm() as server:
        config = await prepare(tmp_path, server, base)
        await take_in(config, 0, FEW)
        _, said, _ = await learn(config)
        assert "adapter" not in said
        assert not server.adapters
        assert not (tmp_path / "t-training").exists()


async def test_a_training_that_cant_begin_is_told_and_forgotten(tmp_path: Path, base: Path) -> None:
    async with FakeVllm() as server:
        config = await prepare(tmp_path, server, base, pin="0" * 8)
        await take_in(config, 0, ENOUGH)
        code, _, err = await learn(config)
        assert code == 1
        assert "00000000" in err
        with opened(config) as store:
            (cycle,) = store.cycles(5, "shop")
            assert not store.active_releases()
    assert cycle.outcome == "failed"
    assert not (tmp_path / "t-training" / "shop" / "under-way.json").exists()
