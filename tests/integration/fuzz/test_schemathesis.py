"""schemathesis against the gateway's own OpenAPI document, on a real running gateway."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from tests.conformance.upstream import KeepingUpstream
from tests.integration.gateway.test_gateway import gateway

SETUP = Path(__file__).with_name("setup.sh")
EXAMPLES = 15
MOST_CHOICES = 8
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,negative_data_rejection,unsupported_method"
)
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 503]
"""
"""503 where a student is forced that isn't there."""


class StrictUpstream(KeepingUpstream):
    """One that refuses what it can't read, as real servers do."""

    def add_routes(self, app: web.Application) -> None:
        super().add_routes(app)
        app.middlewares.append(refuse_oddities)


@web.middleware
async def refuse_oddities(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    raw = await request.read()
    try:
        body = json.loads(raw or b"{}")
        if isinstance(body.get("n"), int) and body["n"] > MOST_CHOICES:
            raise ValueError("more choices than anybody makes")
        return await handler(request)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        error = {"message": "That can't be read.", "type": "invalid_request_error"}
        return web.json_response({"error": error}, status=400)


def narrow(document: dict[str, Any], interaction: str) -> dict[str, Any]:
    """The same document for this gateway: the models, workload and interaction that it has."""
    document["components"]["schemas"]["FeedbackRequest"]["properties"]["id"] = {
        "enum": [interaction]
    }
    known = {"workload": ["sort"], "model": ["auto", "teacher"]}
    for path, item in document["paths"].items():
        for parameter in item.get("parameters", ()):
            if path.startswith("/v1/interactions/"):
                parameter["schema"] = {"enum": [interaction]}
            elif parameter["name"] in known:
                parameter["schema"] = {"enum": known[parameter["name"]]}
    document["components"]["schemas"]["Model"]["enum"] = ["auto", "teacher", "shop-model", "none"]
    return document


async def run(*command: str, cwd: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace")


@pytest.mark.long
async def test_no_request_that_can_be_made_up_breaks_the_gateway(tmp_path: Path) -> None:
    code, printed = await run("sh", str(SETUP), cwd=tmp_path)
    assert code == 0, printed
    program = Path(printed.strip().splitlines()[-1]) / "bin" / "schemathesis"
    workloads = [{"name": "sort", "match": {"system_prompt": "Sort*"}}]
    async with (
        StrictUpstream() as up,
        gateway(tmp_path, up.base_url, workloads=workloads) as base,
        httpx.AsyncClient(base_url=base, timeout=30) as asking,
    ):
        hello = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}
        first = await asking.post("/v1/chat/completions", json=hello)
        interaction = first.headers["x-tutelage-id"]
        document = narrow((await asking.get("/openapi.json")).json(), interaction)
        (tmp_path / "openapi.json").write_text(json.dumps(document))
        (tmp_path / "schemathesis.toml").write_text(CONFIG)
        code, printed = await run(
            *(str(program), "run", "openapi.json", "--url", base, "--checks", CHECKS),
            *("--max-examples", str(EXAMPLES), "--seed", "1", "--request-timeout", "20"),
            *("--phases", "examples,coverage,fuzzing", "--continue-on-failure"),
            cwd=tmp_path,
        )
        (tmp_path / "report.txt").write_text(printed)
        assert code == 0, printed[:20_000]
        assert "Traceback" not in printed
        assert len(up.requests) > 100
        live = await asking.get("/health/ready")
        assert live.json()["requests"] == {"running": 0, "waiting": 0}
