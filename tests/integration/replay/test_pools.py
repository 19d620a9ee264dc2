"""Pooled workloads in a replay: proven together, claimed together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.replay.streams import (
    Run,
    decisions,
    make_stream,
    replay,
    write_config,
    write_stream,
)

PARTS = 3


def rows(count: int) -> list[dict[str, Any]]:
    return [
        row | {"workload": f"part-{i % PARTS}"} for i, row in enumerate(make_stream(count, hard=0))
    ]


def configure(folder: Path, **more: Any) -> Path:
    folder.mkdir(exist_ok=True)
    promise = {"agreement": 0.9, "confidence": 0.9}
    workloads = [{"name": f"part-{k}", "promise": promise, **more} for k in range(PARTS)]
    return write_config(folder, workloads=workloads)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Alone and pooled."""
    folder = tmp_path_factory.mktemp("pools")
    stream = write_stream(folder / "base.jsonl", rows(900))
    alone = replay(stream, "--config", configure(folder / "alone"))
    return alone, replay(stream, "--config", configure(folder / "pooled", pool="shop"))


@pytest.mark.long
def test_members_are_served_sooner_together(runs: tuple[Run, Run]) -> None:
    alone, pooled = runs
    assert pooled.result["asked_rate"] < alone.result["asked_rate"] - 0.02
    assert pooled.result["promise_held"]


@pytest.mark.long
def test_the_claim_is_about_the_pools_queries_and_no_members(runs: tuple[Run, Run]) -> None:
    alone, pooled = runs
    assert alone.result["certified"] == []
    assert not any("pool" in line for line in alone.trace)
    (claim,) = pooled.result["certified"]
    assert (claim["pool"], claim["at_least"], claim["kind"]) == ("shop", 0.9, "exchangeable")
    inside = [line for line in pooled.trace[: claim["to"]] if line.get("pool") == "shop"]
    assert len(inside) > 300
    assert sum(line["agreed"] for line in inside) / len(inside) >= 0.9
    assert all(line["score"] is not None for line in inside)


def test_a_guarantee_is_each_workloads_own(tmp_path: Path) -> None:
    stream = write_stream(tmp_path / "few.jsonl", rows(60))
    guaranteed = [
        replay(
            stream,
            "--config",
            configure(tmp_path / name, **more),
            "--promise",
            "0.9",
            "--guarantee",
        )
        for name, more in (("alone", {}), ("pooled", {"pool": "shop"}))
    ]
    assert decisions(guaranteed[0].trace) == decisions(guaranteed[1].trace)
    assert not any("pool" in line for line in guaranteed[1].trace)
