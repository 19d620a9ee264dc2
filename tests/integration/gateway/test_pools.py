"""Two workloads in a pool, through the gateway over HTTP, and after a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.gateway.test_recall import QUESTIONS, answer

NAMES = ("north", "south")
POOLED: dict[str, Any] = {
    "workloads": [
        {"name": name, "match": f"{name}*", "promise": {"agreement": 0.9}, "pool": "regions"}
        for name in NAMES
    ]
}


async def repeat(base: str, rounds: int) -> list[str]:
    """All questions of both workloads in turns; the tiers of the last round."""
    tiers: list[str] = []
    for i in range(rounds):
        tiers = []
        for text in QUESTIONS:
            for name in NAMES:
                messages: Any = [
                    {"role": "system", "content": name},
                    {"role": "user", "content": f"{text}{'?' if i % 2 else ''}"},
                ]
                raw = await client(base).chat.completions.with_raw_response.create(
                    model="auto", messages=messages
                )
                tiers.append(raw.headers["x-tutelage-tier"])
    return tiers


async def read_standings(base: str) -> tuple[str, dict[str, dict[str, Any]]]:
    """The metrics, and each workload's standing."""
    async with httpx.AsyncClient() as http:
        metrics = (await http.get(f"{base}/metrics")).text
        data = (await http.get(f"{base}/admin/v1/workloads")).json()["data"]
    return metrics, {one["workload"]: one["standing"] for one in data}


@pytest.mark.long
async def test_workloads_in_a_pool_are_served_by_what_they_prove_together(tmp_path: Path) -> None:
    async with FakeUpstream(answer) as up:
        async with gateway(tmp_path, up.base_url, **POOLED) as base:
            assert set(await repeat(base, 2)) == {"teacher"}
            assert "recall" in await repeat(base, 7)
            metrics, standings = await read_standings(base)
        async with gateway(tmp_path, up.base_url, **POOLED) as base:
            _, restarted = await read_standings(base)
            assert "recall" in await repeat(base, 1)
        apart = {"workloads": [one | {"pool": None} for one in POOLED["workloads"]]}
        async with gateway(tmp_path, up.base_url, **apart) as base:
            _, alone = await read_standings(base)
            assert set(await repeat(base, 1)) == {"teacher"}
    for name in NAMES:
        assert f'tutelage_promise_pooled{{workload="{name}"}} 1.0' in metrics
        pool = standings[name]["promise"]["pool"]
        assert (pool["name"], pool["standing"], pool["borrowed"]) == ("regions", "member", True)
        assert pool["proven_agreement"] >= 0.9
        assert restarted[name]["promise"]["pool"] == pool
        assert alone[name]["promise"]["pool"] is None
