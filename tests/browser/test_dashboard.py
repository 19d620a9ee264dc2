"""The dashboard in a real browser: what it shows is what the store holds."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright

from policies.types import Tier
from router.testing import FakeUpstream
from tests.browser.seeded import ASKED_USD, HOSTILE, make_certificate, make_history, seed
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway

CHROMIUM = shutil.which("chromium")
SHOP: dict[str, Any] = {
    "workloads": [
        {
            **{"name": "shop", "promise": {"agreement": 0.95}},
            "budget": {"usd_per_interaction": 0.00005},
        }
    ]
}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the command chromium"),
]


class Watch:
    """What must not happen on a page: errors in its console, requests to another origin."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", lambda said: said.type == "error" and self.errors.append(said.text))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda sent: self.hosts.add(urlsplit(sent.url).netloc))


@asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        try:
            yield opened
        finally:
            await opened.close()


async def column(page: Page, table: str, title: str) -> list[str]:
    cells = page.locator(f'[data-table="{table}"] td[data-label="{title}"]')
    return [text.strip() for text in await cells.all_inner_texts()]


async def settled(page: Page, base: str, query: str = "") -> None:
    await page.goto(f"{base}/ui{query}")
    await page.locator("#status-text", has_text="Updated").wait_for()


async def test_the_page_shows_what_the_store_holds(tmp_path: Path) -> None:
    seed(f"sqlite:///{tmp_path}/t.db")
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url, **SHOP) as base,
        browser() as chromium,
    ):
        page = await chromium.new_page(viewport={"width": 1280, "height": 900})
        watch = Watch(page)
        await settled(page, base)
        await _check_totals(page)
        await _check_tables(page)
        for scheme in ("light", "dark"):
            await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            await page.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
        await page.set_viewport_size({"width": 400, "height": 800})
        await page.emulate_media(color_scheme="light")
        await page.screenshot(path=tmp_path / "narrow.png", full_page=True)
        overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert overflow <= 0
        assert await page.title() == "tutelage"
    assert watch.errors == []
    assert watch.hosts == {urlsplit(base).netloc}


async def _check_totals(page: Page) -> None:
    rows = make_history()
    spent = [row.cost_usd for row in rows if row.cost_usd is not None]
    served = [row for row in rows if row.tier is Tier.STUDENT]
    each = sum(spent) / Decimal(len(spent))
    assert await page.inner_text("#cost-each") == f"${each:.{2 - each.adjusted()}f}"
    more = await page.inner_text("#cost-each-more")
    assert more == f"always the teacher: $0.0000600 est.; known for {len(spent)} of {len(rows)}"
    saving = 100 * len(served) / len(spent)
    assert await page.inner_text("#saving") == f"{saving:.1f} %"
    share = 100 * len(served) / len(rows)
    assert await page.inner_text("#student-share") == f"{share:.1f} %"
    told = f"{len(served)} of {len(rows)} interactions, 1 failed"
    assert await page.inner_text("#student-share-more") == told
    escalated = f"{100 - share:.1f} % escalated to the teacher; now {100 - share:.1f} %"
    assert await page.inner_text("#escalated") == escalated
    now = await page.inner_text("#cost-now")
    assert (
        now
        == f"now ${each:.{2 - each.adjusted()}f}, the newest {len(rows)}; target $0.0000500: met"
    )
    assert "training not priced" in await page.inner_text("#saving-parts")
    checks = [row.draft_agreed for row in rows if row.reason == "proof"]
    wrong = checks.count(False) / len(checks)
    agreement = 100 * (1 - len(served) / (len(rows) - 1) * wrong)
    assert await page.inner_text("#agreement") == f"{agreement:.1f} %"
    assert await page.locator("#agreement-est").is_visible()
    between = await page.inner_text("#agreement-interval")
    low, high = (float(text.split()[0]) for text in between.split(" to "))
    assert low < agreement < high <= 100
    assert await page.inner_text("#agreement-more") == (
        f"estimated from {len(checks)} random checks"
    )


async def _check_tables(page: Page) -> None:
    certificate = make_certificate()
    level = certificate.level()
    assert level is not None
    modes = await column(page, "standings", "Mode")
    assert modes == [f"Serving at level {level + 1} of {len(certificate.levels)}"]
    bound = int(certificate.lower_bound(level) * 1000 + 1e-9) / 10
    assert await column(page, "standings", "Proven lower bound") == [
        f"{bound:.1f} %\n{certificate.trials} interactions"
    ]
    (cost,) = await column(page, "standings", "Cost each")
    assert cost.endswith("\ntarget $0.0000500")
    assert await column(page, "tiers", "Tier") == ["student", "teacher"]
    asked = sorted(row.latency_ms for row in make_history() if row.tier is Tier.TEACHER)
    median = asked[: len(asked) - 1][(len(asked) - 2) // 2]  # one of the slow ones has failed
    assert await column(page, "tiers", "Latency p50") == ["6.4 ms", f"{median:.0f} ms"]
    assert await column(page, "tiers", "First token p95") == ["–", "163 ms"]
    assert [text[:6] for text in await column(page, "alarms", "What changed")] == [
        "drafts",
        "reques",
    ]
    assert "tightened" not in await column(page, "alarms", "Ended")
    assert await column(page, "releases", "No.") == ["3", "2", "1"]
    states = await column(page, "releases", "State")
    assert states == ["rejected", "active", "retired"]
    assert (await column(page, "releases", "Digest"))[1] == "b2c3d4e5f607"
    assert (await column(page, "releases", "Why"))[0] == HOSTILE
    assert await column(page, "cycles", "Outcome") == ["rejected", "promoted", "promoted"]
    assert await column(page, "cycles", "Took") == ["12.5 s"] * 3
    assert await column(page, "cycles", "Detail") == [HOSTILE, "260 answers.", "130 answers."]
    newest = list(reversed(make_history()))[:15]
    assert await column(page, "latest", "Tier") == [row.tier.value for row in newest]
    assert await column(page, "latest", "Reason") == [
        f"{row.reason}, error" if row.status == "error" else row.reason for row in newest
    ]
    assert await column(page, "latest", "Request") == [row.input_text for row in newest]
    shown = {None: "unknown", ASKED_USD: "$0.0000600", Decimal(0): "$0.0000000"}
    assert await column(page, "latest", "Cost") == [shown[row.cost_usd] for row in newest]
    assert await page.locator("main img, main script").count() == 0


async def test_one_workload_is_chosen_by_keyboard_and_survives_a_reload(tmp_path: Path) -> None:
    seed(f"sqlite:///{tmp_path}/t.db")
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url, **SHOP) as base,
        browser() as chromium,
    ):
        page = await chromium.new_page()
        watch = Watch(page)
        await settled(page, base)
        await page.select_option("#workload", label=HOSTILE)
        await page.get_by_text("0 of 40 interactions").wait_for()
        await page.reload()
        await page.get_by_text("0 of 40 interactions").wait_for()
        assert "Observing" in (await column(page, "standings", "Mode"))[0]
        await page.locator("#cost-chart .plot").focus()
        await page.keyboard.press("End")
        assert "Interactions 40–40" in await page.inner_text("#cost-chart .where")
        await page.keyboard.press("Escape")
        await page.locator("#slices summary").click()
        assert await column(page, "slices", "Cost each") == ["$0.0000600"] * 39 + ["unknown"]
    assert watch.errors == []


async def test_a_refresh_leaves_alone_what_did_not_change(tmp_path: Path) -> None:
    seed(f"sqlite:///{tmp_path}/t.db")
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url, **SHOP) as base,
        browser() as chromium,
    ):
        page = await chromium.new_page()
        await settled(page, base)
        first = await page.inner_text("#status-text")
        await page.evaluate("document.querySelectorAll('tbody tr').forEach(r => r.seen = true)")
        await page.wait_for_function(
            "text => document.getElementById('status-text').textContent !== text", arg=first
        )
        same = "[...document.querySelectorAll('tbody tr')].every(r => r.seen)"
        assert await page.evaluate(same)


async def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url) as base,
        browser() as chromium,
    ):
        page = await chromium.new_page()
        watch = Watch(page)
        await settled(page, base)
        assert f"{base}/v1" in await page.inner_text("#snippet")
        notes = await page.locator("#notes .alert").all_inner_texts()
        assert [note.split("\n")[0] for note in notes] == ["Nothing is learned"]
        await page.screenshot(path=tmp_path / "empty.png", full_page=True)
        await client(base).chat.completions.create(model="auto", messages=MESSAGES)
        await page.get_by_text("0 of 1 interactions").wait_for()
        assert not await page.locator("#snippet").is_visible()
    assert watch.errors == []


async def test_a_key_is_asked_for_and_kept_in_the_tab(tmp_path: Path) -> None:
    keys = {"keys": [{"name": "shop", "key_env": "SHOP_KEY"}]}
    async with (
        FakeUpstream("x") as up,
        gateway(tmp_path, up.base_url, **keys) as base,
        browser() as chromium,
    ):
        page = await chromium.new_page()
        await page.goto(f"{base}/ui")
        await page.fill("#key", "sk-wrong")
        await page.keyboard.press("Enter")
        await page.get_by_text("doesn't know this key").wait_for()
        await page.screenshot(path=tmp_path / "key.png")
        await page.fill("#key", "sk-shop-secret")
        await page.keyboard.press("Enter")
        await page.get_by_text("No interaction yet").first.wait_for()
        await page.reload()
        await page.get_by_text("No key has train_on").wait_for()
        assert await page.evaluate("sessionStorage.length") == 1
        assert await page.evaluate("localStorage.length") == 0
