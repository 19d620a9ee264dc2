"""Steering in a real browser: what is changed on a page changes what the gateway does."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Locator, Page, Route

from router.record.store import Store
from router.testing import FakeUpstream
from tests.browser.seeded import HOSTILE
from tests.browser.steered import COUNT, STRICT, seed_log
from tests.browser.test_dashboard import CHROMIUM, Watch, browser, column
from tests.integration.gateway.test_gateway import SECRETS, client, gateway
from tests.integration.gateway.test_student import ask, workload

PAGES = ("", "frontier", "interactions", "interactions/int_0590", "learning", "keys")
ADMIN_KEY = "sk-admin-secret"
MILD = "my parcel, where"
"""A message of whose draft the release is fairly sure, and less than of one that it learned."""

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
AXE = next(iter(sorted((_CACHE / "tutelage").glob("axe-core-*/axe.min.js"))), None)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the command chromium"),
]


@pytest.fixture(autouse=True)
def admin_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SECRETS, "ADMIN_KEY", ADMIN_KEY)


@asynccontextmanager
async def opened(folder: Path, **more: Any) -> AsyncIterator[tuple[str, Page, Watch]]:
    """A gateway over a seeded log, and a page that has nothing open yet."""
    async with (
        FakeUpstream("parcel") as up,
        gateway(folder, up.base_url, **(STRICT | more)) as base,
        browser() as chromium,
    ):
        page = await chromium.new_page(viewport={"width": 1280, "height": 900})
        yield base, page, Watch(page)


async def visit(page: Page, base: str, place: str) -> None:
    await page.goto(f"{base}/ui#/{place}")
    await page.locator(f'#main[data-shown="#/{place}"]').wait_for()


async def shown(page: Page, query: str) -> None:
    """Until the page shows what an address with ``query`` asks for, not what was there before."""
    await page.locator(f'#main[data-shown*="{query}"]').wait_for()


async def confirm(page: Page, reason: str) -> None:
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Your name").fill("ada")
    await dialog.get_by_label("Reason").fill(reason)
    await page.keyboard.press("Enter")
    await dialog.wait_for(state="detached")


async def told(page: Page) -> str:
    note = page.locator("#told")
    await note.wait_for()
    return await note.inner_text()


def fact(host: Locator, term: str) -> Locator:
    exactly = re.compile(f"^{re.escape(term)}$")
    return host.locator("div", has=host.page.locator("dt", has_text=exactly)).locator("dd")


async def drag(page: Page, share: float) -> None:
    """From where the handle is to some share of the plane's width."""
    handle = await page.locator(".plane .handle").bounding_box()
    plane = await page.locator(".plane").bounding_box()
    assert handle is not None
    assert plane is not None
    await page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    await page.mouse.down()
    for part in (0.7, 1.0):
        x = plane["x"] + plane["width"] * (1 - part * (1 - share))
        await page.mouse.move(x, plane["y"] + plane["height"] / 2)
    await page.mouse.up()


async def test_drag_and_apply_changes_the_route_of_the_next_request(tmp_path: Path) -> None:
    digest = seed_log(tmp_path)
    async with opened(tmp_path) as (base, page, watch):
        before = await ask(base, MILD)
        await visit(page, base, "frontier")
        predicted = page.locator("#predicted")
        at_first = await predicted.inner_text()
        await drag(page, 0.35)
        dragged = await predicted.inner_text()
        escalated = await fact(predicted, "Escalated").locator(".strong").inner_text()
        await page.screenshot(path=tmp_path / "frontier.png", full_page=True)
        await page.get_by_role("button", name="Apply").click()
        await confirm(page, "campaign until Friday")
        said = await told(page)
        after = await ask(base, MILD)
        await page.locator("#undo").click()
        await confirm(page, "over")
        await page.locator("#told", has_text="Version 2").wait_for()
        undone = await ask(base, MILD)
        await page.locator(".versions li").nth(1).wait_for()
        history = await page.locator(".versions li").all_inner_texts()
    routes = [one.headers["x-tutelage-tier"] for one in (before, after, undone)]
    assert routes == ["teacher", "student", "teacher"]
    assert before.headers["x-tutelage-release"].startswith(digest[:12])
    assert dragged != at_first
    assert "against now" in dragged
    assert float(escalated.removesuffix(" %")) < 60.0
    assert said.startswith("Version 1 is in force for shop: threshold 0.")
    assert [line.split("\n")[0][:9] for line in history] == ["Version 2", "Version 1"]
    assert "ada: campaign until Friday" in history[1]
    assert watch.errors == []
    assert watch.hosts == {urlsplit(base).netloc}


async def test_a_promise_or_a_budget_is_typed_and_applied_by_keyboard(tmp_path: Path) -> None:
    seed_log(tmp_path)
    async with opened(tmp_path) as (base, page, watch):
        await visit(page, base, "frontier")
        slider = page.get_by_role("slider", name="Operating point")
        await slider.focus()
        await page.keyboard.press("Home")
        alone = await slider.get_attribute("aria-valuetext")
        await page.keyboard.press("ArrowLeft")  # towards lower cost, as it is drawn
        nearly = await slider.get_attribute("aria-valuetext")
        await page.get_by_label("Set it by").select_option(label="A promise")
        await page.get_by_label("At least, %").fill("90")
        limits = (
            await fact(page.locator("#predicted"), "Agreement").locator("small").all_inner_texts()
        )
        await page.get_by_label("At least, %").fill("99.9")
        refused = page.get_by_text("No threshold is shown by the log to keep this")
        await refused.wait_for()
        await page.get_by_label("At least, %").fill("90")
        await page.get_by_role("button", name="Apply").focus()
        await page.keyboard.press("Enter")
        await confirm(page, "a promise")
        said = await told(page)
        await page.locator(".note", has_text="What the certificate says").wait_for()
        async with httpx.AsyncClient() as http:
            policy = (await http.get(f"{base}/admin/v1/workloads/shop/policy")).json()
    assert (alone or "").startswith("Teacher alone: agreement 100.0 %")
    assert (nearly or "").startswith("Threshold 0.99")
    assert float(limits[0].split(" %")[0]) >= 90.0
    assert said == "Version 1 is in force for shop: promise of 90.0 % over all."
    assert policy["in_force"]["promise"]["agreement"] == 0.9
    assert policy["history"][0]["reason"] == "a promise"
    assert watch.errors == []


async def test_the_promise_in_force_is_shown_where_it_serves(tmp_path: Path) -> None:
    """To serve under it takes a day of traffic, so the gateway's answer is altered to say so."""
    seed_log(tmp_path)
    promised = workload(promise={"agreement": 0.95, "confidence": 0.95})

    async def serve_somewhere(route: Route) -> None:
        answer = await route.fetch()
        told = await answer.json()
        told["marks"]["in_force"] = 5
        await route.fulfill(response=answer, json=told)

    async with opened(tmp_path, **promised) as (base, page, watch):
        await page.route("**/frontier?newest=*", serve_somewhere)
        await visit(page, base, "frontier")
        await page.get_by_text("This promise is in force, and this is what").wait_for()
        shown = await page.locator("#predicted").inner_text()
        slider = page.get_by_role("slider", name="Operating point")
        at_first = await slider.get_attribute("aria-valuetext")
        await page.get_by_label("At least, %").fill("99.9")
        await page.get_by_text("No threshold is shown by the log to keep this").wait_for()
        await page.get_by_label("At least, %").fill("95")
        await page.get_by_text("This promise is in force, and this is what").wait_for()
        again = await slider.get_attribute("aria-valuetext")
    assert "against now" not in shown
    assert (at_first or "").startswith("Threshold 0.")
    assert again == at_first
    assert watch.errors == []


async def test_promote_and_roll_back(tmp_path: Path) -> None:
    newer = seed_log(tmp_path)
    lenient = STRICT["workloads"][0] | {"policy": "student", "threshold": None}
    async with opened(tmp_path, workloads=[lenient]) as (base, page, watch):
        first = await ask(base, "where is my parcel")
        await visit(page, base, "learning")
        await page.screenshot(path=tmp_path / "learning.png", full_page=True)
        await page.get_by_role("button", name="Roll back shop 2").click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        same = await ask(base, "where is my parcel")
        await page.get_by_role("button", name="Roll back shop 2").click()
        await confirm(page, "worse at night")
        rolled = await told(page)
        older = await ask(base, "where is my parcel")
        await page.get_by_role("button", name="Promote shop 2").click()
        await confirm(page, "back again")
        await page.locator("#told", has_text=newer[:12]).wait_for()
        again = await ask(base, "where is my parcel")
        events = page.locator(f'[data-digest="{newer}"] .events', has_text="back again (ada)")
        await events.wait_for()  # the page reads anew once it was told
        await page.locator("details.cycle").nth(1).locator("summary").click()
        ladder = await page.locator("details.cycle").nth(1).inner_text()
        running = await page.get_by_role("progressbar").count()
    answers = [one.parse().choices[0].message.content for one in (first, same, older, again)]
    assert answers == ["parcel", "parcel", "login", "parcel"]  # the older one has them swapped
    assert "serves shop" in rolled
    assert "agreement: failed" in ladder
    assert "duplicate\n33" in ladder
    assert running == 1
    assert watch.errors == []


async def test_interactions_are_filtered_and_one_is_judged(tmp_path: Path) -> None:
    seed_log(tmp_path)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    rows = store.latest(COUNT)
    store.close()
    served = [row for row in rows if row.tier == "student"]
    wrong = [row for row in rows if row.draft_agreed is False]
    async with opened(tmp_path) as (base, page, watch):
        await visit(page, base, "interactions")
        assert len(await column(page, "found", "Tier")) == 50
        await page.get_by_label("Tier", exact=True).select_option("student")
        await shown(page, "tier=student")
        await page.get_by_role("link", name="Older").click()
        await page.get_by_role("link", name="Newest").wait_for()
        older = await column(page, "found", "Tier")
        await page.get_by_role("button", name="Clear").click()
        await page.get_by_label("Disagreed with the teacher").select_option("draft")
        await page.get_by_label("Cost from, USD").fill("0.0004")
        await shown(page, "disagreed=draft&least_usd=0.0004")
        verdicts = set(await column(page, "found", "Draft agreed"))
        await page.screenshot(path=tmp_path / "interactions.png", full_page=True)
        await page.locator('[data-table="found"] a').first.click()
        await page.locator(".timeline").wait_for()
        name = await page.locator("h2.id").inner_text()
        timeline = await page.locator(".timeline > li").all_inner_texts()
        texts = await page.locator(".texts pre").all_inner_texts()
        await page.get_by_label("The answer was").select_option(label="wrong")
        await page.get_by_label("It should have said").fill("returns")
        await page.get_by_role("button", name="Keep").click()
        await page.get_by_text("The feedback is kept.").wait_for()
        await page.get_by_label("Decide it by").select_option(label="every draft served")
        await page.get_by_role("button", name="Decide anew").click()
        planned = page.locator("#planned")
        await planned.get_by_text("The student would answer, instead of the teacher.").wait_for()
        await page.screenshot(path=tmp_path / "interaction.png", full_page=True)
        await page.reload()
        await page.get_by_text("Said 20").wait_for()
        assert await page.get_by_label("It should have said").input_value() == "returns"
    assert older == ["student"] * (len(served) - 50)
    assert verdicts == {"no"}
    assert name in {row.id for row in wrong}
    assert timeline[0].startswith("student drafts")
    assert timeline[1].startswith("teacher answers below_threshold")
    assert len(texts) == 3
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    said = store.feedback_of(name)
    store.close()
    assert said is not None
    assert (said.score, said.correction) == (-1.0, "returns")
    assert watch.errors == []


async def test_the_admin_key_opens_what_several_tenants_share(tmp_path: Path) -> None:
    seed_log(tmp_path, key_name="shop", tenant="shop")
    keys = [
        {"name": "shop", "key_env": "SHOP_KEY", "budget": {"usd": 2, "per": "month"}},
        {"name": "bank", "key_env": "BANK_KEY", "rate": {"requests_per_minute": 60}},
    ]
    async with opened(tmp_path, keys=keys, admin={"key_env": "ADMIN_KEY"}) as (base, page, _):
        await client(base, "sk-shop-secret").chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "where is my parcel"}]
        )
        await page.goto(f"{base}/ui#/keys")
        await page.fill("#key", "sk-shop-secret")
        await page.keyboard.press("Enter")
        await page.get_by_text("This needs the admin key.").wait_for()
        await page.fill("#key", ADMIN_KEY)
        await page.keyboard.press("Enter")
        await page.get_by_role("meter", name="Budget of shop").wait_for()
        assert set(await column(page, "keys", "Tenant")) == {"shop", "bank"}
        assert "shop" in await column(page, "spending", "Key")
        await page.screenshot(path=tmp_path / "keys.png", full_page=True)
        await page.get_by_role("link", name="Overview").click()
        await page.locator("#cost-each", has_text="$").wait_for()
        await visit(page, base, "interactions/int_0590")
        await page.get_by_label("The answer was").select_option(label="right")
        await page.get_by_role("button", name="Keep").click()
        await page.get_by_text("The feedback is kept.").wait_for()
        assert await page.evaluate("localStorage.length") == 0
        assert ADMIN_KEY not in page.url


async def test_learning_shows_how_far_a_cycle_is_and_where_the_last_student_fails(
    tmp_path: Path,
) -> None:
    seed_log(tmp_path)
    async with opened(tmp_path) as (base, page, watch):
        await visit(page, base, "learning")
        bar = page.get_by_role("progressbar", name="Cycle of shop")
        far = await bar.get_attribute("value")
        step = await page.locator(".note strong").inner_text()
        heard = await page.locator("#page-learning [role=status]").inner_text()
        learned = page.locator(".learned")
        curve = learned.get_by_role("table", name="Learning curve of shop")
        rows = await curve.locator("tbody tr").all_inner_texts()
        places = await learned.locator(".failures > li").all_inner_texts()
        await page.locator(".cycle", has_text="rejected").locator("summary").click()
        before = await page.inner_text("#status-text")
        await page.wait_for_function(
            "text => document.getElementById('status-text').textContent !== text", arg=before
        )
        training = page.get_by_text("Log-loss of the gate: logistic")
        assert await training.is_visible()
        await page.screenshot(path=tmp_path / "learning.png", full_page=True)
        await learned.get_by_role("link").first.focus()
        await page.keyboard.press("Enter")
        await page.locator("#page-interactions h2.id", has_text="int_0590").wait_for()
        images = await page.locator("main img, main script").count()
    assert float(far or 0) == pytest.approx(1 + 256 / 480)
    assert step.startswith("Step 2 of 5: encoding, 256 of 480 (")
    assert heard == "shop: step 2 of 5, encoding."
    assert [row.split("\t")[0] for row in rows] == ["185", "92", "185", "371"]
    assert "90.3 %\t86.9 % to 92.9 %\tall" in rows[-1]
    assert places[0].startswith("parcel drafted as login\n")
    assert "12 questions, 4.3 % of all traffic; 75 % of them so confused" in places[0]
    assert places[1].startswith(f"{HOSTILE} drafted as login\n")
    assert places[1].endswith("Its questions were erased.")
    assert images == 0
    assert watch.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_in_light_and_dark_and_narrow(tmp_path: Path, scheme: Any) -> None:
    seed_log(tmp_path)
    async with opened(tmp_path) as (base, page, watch):
        await page.emulate_media(color_scheme=scheme)
        for width in (1280, 400):
            await page.set_viewport_size({"width": width, "height": 850})
            for place in PAGES:
                await visit(page, base, place)
                name = f"{scheme}-{width}-{place.replace('/', '-') or 'overview'}.png"
                await page.screenshot(path=tmp_path / name, full_page=True)
                wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, place
        dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (dark == "rgb(19, 21, 23)") is (scheme == "dark")
    assert watch.errors == []


@pytest.mark.skipif(AXE is None, reason="needs axe-core: sh tests/setup-axe.sh")
async def test_axe_finds_nothing_serious(tmp_path: Path) -> None:
    assert AXE is not None
    seed_log(tmp_path)
    script = shutil.copy(AXE, tmp_path / "axe.js")
    found = []
    async with (
        FakeUpstream("parcel") as up,
        gateway(tmp_path, up.base_url, **STRICT) as base,
        browser() as chromium,
    ):
        for scheme in ("light", "dark"):
            # The page's own policy lets no script of another in.
            apart = await chromium.new_context(bypass_csp=True, color_scheme=scheme)  # type: ignore[arg-type]
            page = await apart.new_page()
            for place in PAGES:
                await visit(page, base, place)
                await page.reload()
                await page.locator("#status-text", has_text="Updated").wait_for()
                await page.add_script_tag(path=script)
                result = await page.evaluate("axe.run(document)")
                found += [
                    (scheme, place, one["id"], one["nodes"][0]["html"])
                    for one in result["violations"]
                    if one["impact"] in ("serious", "critical")
                ]
                assert len(result["passes"]) > 10
            await apart.close()
    assert found == []
