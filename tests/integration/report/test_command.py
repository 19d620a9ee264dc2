"""``tutelage report`` on a store that a gateway could have written."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from router.cli import main
from router.record.store import Store
from tests.unit.router.record.records import make_record

CONFIG = """\
store: {{url: "sqlite:///{folder}/t.db"}}
models: {{teacher: {{upstream: "http://127.0.0.1:1/v1", model: m}}}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(days=today.weekday() + 7)
    store = Store.open(f"sqlite:///{tmp_path}/t.db")
    store.append([make_record(f"i{n}", created_at=monday.timestamp() + n) for n in range(5)])
    store.close()
    path = tmp_path / "tutelage.yaml"
    path.write_text(CONFIG.format(folder=tmp_path))
    return path


def test_last_week_as_a_page_and_as_json_is_the_same_twice(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = [tmp_path / "a.html", tmp_path / "b.html"]
    outputs = []
    for page in pages:
        command = ["report", "--config", str(config), "--out", str(page), "--json"]
        assert main(command) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert pages[0].read_bytes() == pages[1].read_bytes()
    assert json.loads(outputs[0])["total"]["now"]["interactions"] == 5


def test_a_period_that_runs_says_so(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    end = (datetime.now(UTC) + timedelta(days=2)).date().isoformat()
    days = ["--from", "2026-01-01", "--to", end]
    assert main(["report", "--config", str(config), *days, "--json"]) == 0
    assert "isn't over" in capsys.readouterr().err


def test_without_a_browser_a_pdf_is_refused_in_one_sentence(
    config: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    pdf = tmp_path / "report.pdf"
    assert main(["report", "--config", str(config), "--pdf", str(pdf)]) == 1
    assert "none of them was found" in capsys.readouterr().err
    assert not pdf.exists()


@pytest.mark.long
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the command chromium")
def test_an_installed_browser_prints_a_pdf(config: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "report.pdf"
    assert main(["report", "--config", str(config), "--pdf", str(pdf)]) == 0
    assert pdf.read_bytes().startswith(b"%PDF-")
    assert len(pdf.read_bytes()) > 5_000


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 2, "Say where the report goes"),
        (["--from", "2026-01-05", "--json"], 2, "Give --from and --to together"),
        (["--from", "2026-01-05", "--to", "2026-01-05", "--json"], 2, "must be after"),
        (["--from", "yesterday", "--json"], 2, "must be a day such as 2026-01-05"),
        (["--out", "nowhere/report.html"], 1, "can't be written"),
    ],
    ids=["no-target", "half", "empty", "no-day", "no-folder"],
)
def test_bad_usage_is_one_sentence(
    options: list[str], code: int, said: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        ended = main(["report", "--config", str(config), *options])
    except SystemExit as left:
        ended = int(left.code or 0)
    assert ended == code
    assert said in capsys.readouterr().err
