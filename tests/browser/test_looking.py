"""Looking for interactions in a real browser, and trying other policies on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.steered import seed_log
from tests.browser.test_dashboard import CHROMIUM, column
from tests.browser.test_steering import opened, shown, visit

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the command chromium"),
]


async def test_words_are_searched_and_typed_ones_stay_in_the_address(tmp_path: Path) -> None:
    seed_log(tmp_path)
    async with opened(tmp_path) as (base, page, watch):
        await visit(page, base, "interactions")
        await page.get_by_label("Words of the request").fill("PARCEL my")
        await shown(page, "text=PARCEL")
        await page.locator("[role=status]", has_text="50 of more").wait_for()
        found = set(await column(page, "found", "Request"))
        await page.reload()
        await page.locator("[role=status]", has_text="50 of more").wait_for()
        kept = await page.get_by_label("Words of the request").input_value()
        await page.get_by_label("Words of the request").fill("parcel password")
        await page.get_by_text("Nothing fits.").wait_for()
    assert found == {"where is my parcel"}
    assert kept == "PARCEL my"
    assert watch.errors == []


async def test_a_promise_or_a_budget_is_tried_on_one_interaction(tmp_path: Path) -> None:
    seed_log(tmp_path)
    async with opened(tmp_path) as (base, page, watch):
        await visit(page, base, "interactions/int_0590")
        planned = page.locator("#planned")
        await page.get_by_label("Decide it by").select_option(label="a promise")
        await page.get_by_label("At least, % of all answers").fill("85")
        await page.get_by_role("button", name="Decide anew").click()
        await planned.get_by_text("By what the log shows, this leads to the threshold").wait_for()
        mild = await planned.inner_text()
        await page.get_by_label("At least, % of all answers").fill("99.99")
        await page.get_by_role("button", name="Decide anew").click()
        await planned.get_by_text("the teacher alone fits this").wait_for()
        strict = await planned.inner_text()
        await page.get_by_label("Decide it by").select_option(label="a budget")
        await page.get_by_label("USD per interaction, at most").fill("0.0002")
        await page.get_by_role("button", name="Decide anew").click()
        await planned.get_by_text("an interaction.").wait_for()
    assert "The student would answer" in mild
    assert "The teacher would answer" in strict
    assert watch.errors == []
