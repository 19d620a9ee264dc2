"""How fast ``/ui`` is over a large store, and whether its figures are those of the store.

Writes made-up interactions, starts ``tutelage serve`` over them and opens the page in Chromium,
which must be there as the command ``chromium``. The figures are compared with queries of this
module, which share nothing with the gateway's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.dashboard.records import WORKLOADS, fill
from benchmarks.gateway.processes import Server, run_gateway, write_config, write_report

TARGET_S = 1.0
_PATIENCE_MS = 30_000
_MONEY = 1e12
_FILTERS: tuple[dict[str, str], ...] = (
    {"tier": "recall"},
    {"reason": "not_cascadable"},
    {"reason": "forced"},
    {"disagreed": "answer"},
    {"disagreed": "either"},
    {"status": "error"},
    {"least_usd": "0.0165"},
    {"least_usd": "1"},
    {"tier": "teacher", "disagreed": "answer"},
    {"workload": "contract-review", "tier": "student"},
    {"workload": "support-intent", "status": "error", "least_usd": "0.01"},
    {"text": "123"},
    {"text": "parcel"},
    {"text": "nobody parcel 77777"},
    {"text": "parcel", "tier": "student", "disagreed": "either"},
)
"""Some that many fit, some that few fit, some that none fits: those need the whole index."""

_TOTALS = (
    "SELECT count(*), sum(cost_usd), count(cost_usd), sum(teacher_cost_usd),"
    " count(teacher_cost_usd), sum(tier = 'student'), sum(tier = 'teacher'), sum(status = 'error'),"
    " sum(CASE WHEN teacher_cost_usd IS NOT NULL THEN cost_usd END),"
    " sum(CASE WHEN cost_usd IS NOT NULL THEN teacher_cost_usd END)"
    " FROM interactions WHERE :workload IS NULL OR workload = :workload"
)
_SPENT = (
    "SELECT sum(CASE WHEN purpose = 'answer' THEN a.cost_usd ELSE 0 END),"
    " sum(CASE WHEN purpose = 'audit' THEN a.cost_usd ELSE 0 END)"
    " FROM attempts a JOIN interactions i ON i.id = a.interaction_id"
    " WHERE :workload IS NULL OR workload = :workload"
)
_SEARCH = (
    "SELECT id FROM interactions WHERE (:workload IS NULL OR workload = :workload)"
    " AND (:tier IS NULL OR tier = :tier) AND (:reason IS NULL OR reason = :reason)"
    " AND (:status IS NULL OR status = :status)"
    " AND (:least_usd IS NULL OR cost_usd >= CAST(round(:least_usd * 1e12) AS INTEGER))"
    " AND (:disagreed IS NULL OR (:disagreed != 'draft' AND agreed = 0)"
    " OR (:disagreed != 'answer' AND draft_agreed = 0)){words} ORDER BY seq DESC LIMIT 50"
)
_WORDS = " AND seq IN (SELECT seq FROM interactions WHERE {each} ORDER BY seq DESC LIMIT 20000)"
"""Of very many with the words the page looks at the newest for what else is wanted."""

_WORD = "input_text GLOB '*[^0-9A-Za-z]{word}[^0-9A-Za-z]*'"
_NONE = "status=broken&reason=forced"
_GO = """query => new Promise(done => {
    const hash = `#/interactions?${query}`;
    if (location.hash === hash) done(0);
    const found = document.querySelector("#page-interactions p[role=status]");
    found.textContent = "";
    const began = performance.now();
    const seen = new MutationObserver(() => {
        seen.disconnect();
        done(performance.now() - began);
    });
    seen.observe(found, { childList: true });
    location.hash = hash;
})"""
"""Milliseconds until the page says how many rows it shows."""

_FIELDS = ("workload", "tier", "reason", "status", "least_usd", "disagreed")


def measure(file: Path, repeats: int) -> dict[str, Any]:
    """Open the page over a store: seconds, and where it differs from the store."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        policy = {"policy": "threshold", "threshold": 0.8}
        workloads = [{"name": workload, **policy} for workload, _ in WORKLOADS]
        store = {"url": f"sqlite:///{file}"}
        config = write_config(Path(name), "http://127.0.0.1:9", store=store, workloads=workloads)
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
        )
        with run_gateway(config) as gateway:
            page = chromium.new_page()
            page.set_default_timeout(_PATIENCE_MS)
            first_s = _open(page, gateway, "")["figures_s"]
            opened = [_open(page, gateway, "") for _ in range(repeats)]
            differences = _compare_figures(page, gateway, file)
            texts_s = _read_texts(page, gateway)
            filters, wrong = _measure_filters(page, gateway, file, repeats)
            return {
                "first_view_s": first_s,
                "first_paint_s": statistics.median(one["paint_s"] for one in opened),
                "figures_s": statistics.median(one["figures_s"] for one in opened),
                "texts_s": texts_s,
                "filters_s": filters,
                "differences": [*differences, *wrong],
            }


def _open(page: Page, gateway: Server, query: str) -> dict[str, float]:
    """Seconds until something is painted, and until the figures are there."""
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(f"{gateway.url}/ui{query}")
    page.locator("#cost-each", has_text="$").wait_for()
    figures_s = time.perf_counter() - began
    paint_ms = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    return {"paint_s": paint_ms / 1000, "figures_s": figures_s}


def _compare_figures(page: Page, gateway: Server, file: Path) -> list[str]:
    """What the page shows in total, of all and of each workload, beside the query."""
    differences = []
    for workload in (None, *(name for name, _ in WORKLOADS)):
        _open(page, gateway, "" if workload is None else f"?workload={workload}")
        which = {"workload": workload}
        expected = _expect(_read(file, _TOTALS, which)[0], _read(file, _SPENT, which)[0])
        for name, text in expected.items():
            shown = page.inner_text(f"#{name}")
            if text not in shown:
                differences.append(f"{workload or 'all'}: {name} shows {shown!r}, not {text!r}")
    return differences


def _expect(row: tuple[int, ...], spent: tuple[int, int]) -> dict[str, str]:
    """The texts of the page from one row of ``_TOTALS`` and one of ``_SPENT``; money is in the
    store in 1e-12 USD."""
    count, cost, priced, _, _, student, asked, errors, compared, teacher = row
    each = cost / priced / _MONEY
    digits = 2 - int(f"{each:e}".split("e")[1])
    failed = f", {errors:,} failed" if errors else ""
    return {
        "cost-each": f"${each:.{max(4, digits)}f}",
        "cost-each-more": f"known for {priced:,} of {count:,}" if priced < count else "teacher",
        "saving": f"{100 * (1 - compared / teacher):.1f} %",
        "saving-parts": f"answers {_usd(spent[0])} · checks {_usd(spent[1])} · student $0.00",
        "escalated": f"{100 * asked / count:.1f} % escalated",
        "student-share": f"{100 * student / count:.1f} %",
        "student-share-more": f"{student:,} of {count:,} interactions{failed}",
    }


def _usd(pico: int) -> str:
    amount = pico / _MONEY
    if not pico or amount >= 0.995:
        return f"${amount:,.2f}"
    return f"${amount:.{max(4, 2 - int(f'{amount:e}'.split('e')[1]))}f}"


def _read_texts(page: Page, gateway: Server) -> float:
    """Seconds until every text may be searched, the first time that somebody searches."""
    began = time.perf_counter()
    page.goto(f"{gateway.url}/ui#/interactions?text=parcel")
    found = page.locator("#page-interactions p[role=status]")
    found.filter(has_text="50 of more").wait_for()
    while "still being read" in found.inner_text():
        page.wait_for_timeout(200)
    return time.perf_counter() - began


def _measure_filters(
    page: Page, gateway: Server, file: Path, repeats: int
) -> tuple[dict[str, float], list[str]]:
    """By filter the median seconds until its rows are shown, and where they are others."""
    seconds, wrong = {}, []
    for given in _FILTERS:
        name = " ".join(given.values())
        workload = f"?workload={given['workload']}" if "workload" in given else ""
        query = "&".join(f"{key}={value}" for key, value in given.items() if key != "workload")
        each = [_WORD.format(word=word) for word in given.get("text", "").split()]
        words = _WORDS.format(each=" AND ".join(each)) if each else ""
        query_of_all = _SEARCH.format(words=words)
        expected = [row[0] for row in _read(file, query_of_all, dict.fromkeys(_FIELDS) | given)]
        page.goto(f"{gateway.url}/ui{workload}#/interactions?{_NONE}")
        page.get_by_text("Nothing fits.").wait_for()
        seconds[name] = statistics.median(_filter(page, query) for _ in range(repeats))
        links = page.locator('[data-table="found"] a')
        shown = [link.rpartition("/")[2] for link in links.evaluate_all("a => a.map(b => b.href)")]
        if shown != expected:
            wrong.append(f"{name}: {len(shown)} rows are shown, not those of the query")
    return seconds, wrong


def _filter(page: Page, query: str) -> float:
    """Seconds from a filter that nothing fits to the rows of this one."""
    page.evaluate(_GO, _NONE)
    return float(page.evaluate(_GO, query)) / 1000


def _read(file: Path, query: str, values: dict[str, Any]) -> list[Any]:
    connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()


def main() -> None:
    """Fill a store, measure, and say which targets are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--store", type=Path, metavar="FILE", help="kept; filled where it is new")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the figures as JSON")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = (args.store or Path(folder) / "large.db").resolve()
        if not file.exists():
            fill(f"sqlite:///{file}", args.records)
        (count,) = _read(file, "SELECT count(*) FROM interactions", {})[0]
        load = os.getloadavg()[0]
        report = {"interactions": count, "load": load, **measure(file, args.repeats)}
    slowest = max(report["filters_s"].values())
    print(f"{count:,} interactions; {load:.1f} processes were waiting for a processor")
    print(f"  the very first view        {report['first_view_s']:8.3f} s")
    print(f"  the first search for words {report['texts_s']:8.3f} s")
    for name, seconds in (
        ("first paint", report["first_paint_s"]),
        ("figures on the page", report["figures_s"]),
        ("slowest filter", slowest),
    ):
        met = "met" if seconds < TARGET_S else "MISSED"
        print(f"  {name:<26} {seconds:8.3f} s  below {TARGET_S:.0f} s: {met}")
    for name, seconds in report["filters_s"].items():
        print(f"    {name:<32} {seconds:8.3f} s")
    for difference in report["differences"]:
        print(f"  DIFFERS {difference}")
    print(f"  figures differ in {len(report['differences'])} places")
    write_report(args.out, report)


if __name__ == "__main__":
    main()
