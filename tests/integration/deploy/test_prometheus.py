"""A real Prometheus checks the rules and scrapes a real gateway."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import openai
import pytest
import yaml

from router.meter.metrics import Metrics
from router.testing import ErrorAnswer, FakeUpstream
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
    assert "13 rules found" in promtool("check", "rules", "rules.yml", folder=tmp_path)
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
    async with FakeUpstream() as up, gateway(tmp_path, up.base_url) as base:
        await ask(base)
        async with prometheus(tmp_path, base) as port:
            value = await _query(port, 'sum(tutelage_interactions_total{tier="teacher"})')
    assert value == "1"


async def test_alerts_fire_while_it_lasts_and_clear(tmp_path: Path) -> None:
    """The rules as they are shipped, but for the time that a condition must last."""
    rules = (PROMETHEUS / "rules.yml").read_text()
    for slow, fast in (("for: 1m", "for: 2s"), ("for: 2m", "for: 2s"), ("[5m]", "[8s]")):
        assert slow in rules
        rules = rules.replace(slow, fast)
    (tmp_path / "rules.yml").write_text(rules.replace("interval: 30s", "interval: 1s"))
    down = ErrorAnswer(status=500)
    async with (
        FakeUpstream(faults=[down] * 400) as up,
        gateway(tmp_path, up.base_url) as base,
        prometheus(tmp_path, base) as port,
    ):
        assert await _firing(port, {"TutelageModelDown"}, lambda: _ask_anyway(base))
        up.faults.clear()  # the gateway leaves it alone for a while yet
        assert await _firing(port, set(), lambda: _ask_anyway(base))


async def test_a_gateway_that_is_gone_is_an_alert_until_it_is_back(tmp_path: Path) -> None:
    rules = (PROMETHEUS / "rules.yml").read_text().replace("for: 1m", "for: 2s")
    (tmp_path / "rules.yml").write_text(rules)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = free.getsockname()[1]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body, media_type = Metrics().render()
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {media_type}\r\nconnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    async with prometheus(tmp_path, f"http://127.0.0.1:{place}") as port:
        assert await _firing(port, {"TutelageGatewayDown"})
        async with await asyncio.start_server(serve, "127.0.0.1", place):
            assert await _firing(port, set())


async def ask(base: str) -> None:
    await client(base).chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "hello"}]
    )


async def _ask_anyway(base: str) -> None:
    with suppress(openai.APIError):
        await ask(base)


@asynccontextmanager
async def prometheus(folder: Path, gateway_url: str) -> AsyncIterator[int]:
    """A real one that scrapes the gateway every second, with the folder's ``rules.yml`` if there
    is one; its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    target = gateway_url.removeprefix("http://")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/rules*.yml"],  # a pattern, which may fit nothing
        "scrape_configs": [{"job_name": "tutelage", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "p.yml").write_text(yaml.safe_dump(config))
    server = await asyncio.create_subprocess_exec(
        "prometheus",
        f"--config.file={folder}/p.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield port
    finally:
        server.terminate()
        await server.wait()


async def _firing(
    port: int, wanted: set[str], meanwhile: Callable[[], Awaitable[None]] | None = None
) -> bool:
    """Whether exactly these alerts come to fire; ``meanwhile`` is done between the looks."""
    async with httpx.AsyncClient() as http:
        for _ in range(240):
            if meanwhile is not None:
                await meanwhile()
            await asyncio.sleep(0.25)
            try:
                answer = await http.get(f"http://127.0.0.1:{port}/api/v1/alerts")
                seen = await http.get(f"http://127.0.0.1:{port}/api/v1/query?query=up")
            except httpx.TransportError:
                continue
            if answer.status_code != 200 or not seen.json()["data"]["result"]:
                continue
            alerts = answer.json()["data"]["alerts"]
            if {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"} == wanted:
                return True
    return False


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
