"""A real Prometheus checks the rules and scrapes a real gateway."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from pathlib import Path

import httpx
import pytest
import yaml

from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway

PROMETHEUS = Path(__file__).parents[3] / "deploy" / "prometheus"

pytestmark = pytest.mark.long


def promtool(*arguments: str, folder: Path) -> str:
    ran = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_rules_are_valid_and_the_alerts_fire_and_clear(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path, dirs_exist_ok=True)
    assert "11 rules found" in promtool("check", "rules", "rules.yml", folder=tmp_path)
    assert "SUCCESS" in promtool("test", "rules", "rules_test.yml", folder=tmp_path)
    config = (tmp_path / "prometheus.yml").read_text()
    (tmp_path / "metrics_key").write_text("k")
    (tmp_path / "prometheus.yml").write_text(config.replace("/run/secrets", str(tmp_path)))
    promtool("check", "config", "prometheus.yml", folder=tmp_path)


def test_a_rule_that_never_fires_is_caught(tmp_path: Path) -> None:
    shutil.copytree(PROMETHEUS, tmp_path, dirs_exist_ok=True)
    rules = (tmp_path / "rules.yml").read_text()
    (tmp_path / "rules.yml").write_text(rules.replace("tutelage_records_dropped_total", "nothing"))
    with pytest.raises(AssertionError, match="TutelageRecordsDropped"):
        promtool("test", "rules", "rules_test.yml", folder=tmp_path)


async def test_it_scrapes_the_gateway(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url) as base:
        await client(base).chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "hello"}]
        )
        target = base.removeprefix("http://")
        config = {
            "global": {"scrape_interval": "1s"},
            "scrape_configs": [{"job_name": "tutelage", "static_configs": [{"targets": [target]}]}],
        }
        (tmp_path / "p.yml").write_text(yaml.safe_dump(config))
        server = await asyncio.create_subprocess_exec(
            "prometheus",
            f"--config.file={tmp_path}/p.yml",
            f"--storage.tsdb.path={tmp_path}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            value = await _query(port, 'sum(tutelage_interactions_total{tier="teacher"})')
        finally:
            server.terminate()
            await server.wait()
    assert value == "1"


async def _query(port: int, expression: str) -> str | None:
    async with httpx.AsyncClient() as http:
        for _ in range(120):
            await asyncio.sleep(0.5)
            try:
                answer = await http.get(
                    f"http://127.0.0.1:{port}/api/v1/query", params={"query": expression}
                )
            except httpx.TransportError:
                continue
            found = answer.json().get("data", {}).get("result", [])
            if found:
                return str(found[0]["value"][1])
    return None
