"""The demo's dashboard at its end shows what the demo says."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from router.meter.money import show_usd
from tests.browser.test_dashboard import CHROMIUM, Watch, browser, column

TUTELAGE = Path(sys.executable).parent / "tutelage"

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the command chromium"),
]


async def test_the_page_and_the_table_agree(tmp_path: Path) -> None:
    out = tmp_path / "demo.json"
    words = ["demo", "--limit", "700", "--out", str(out)]
    process = await asyncio.create_subprocess_exec(TUTELAGE, *words, stdout=PIPE, stderr=PIPE)
    assert process.stderr is not None
    try:
        async with asyncio.timeout(400):
            told = b""
            while b"until Ctrl-C" not in told:
                told = await process.stderr.readline()
                assert told, "the demo ended before its dashboard was read"
        await _check_page(json.loads(out.read_text()), tmp_path)
    finally:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            await process.communicate()
    assert process.returncode == 0


async def _check_page(result: dict[str, Any], folder: Path) -> None:
    async with browser() as chromium:
        page = await chromium.new_page(viewport={"width": 1280, "height": 900})
        watch = Watch(page)
        await page.goto(result["dashboard"])
        served = f"{result['served_by_student']} of {result['n']} interactions"
        await page.get_by_text(served).wait_for()
        await page.screenshot(path=folder / "demo.png", full_page=True)
        each = show_usd(Decimal(str(result["cost_usd"])) / result["n"])
        assert await page.inner_text("#cost-each") == each
        states = await column(page, "releases", "State")
        assert states.count("active") + states.count("retired") == result["releases"] >= 1
        assert watch.errors == []
