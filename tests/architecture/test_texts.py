"""The pages that people read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.settings.check import examine_settings
from tests.architecture.sources import ROOT

TEXTS = sorted(
    path
    for folder in (".", "benchmarks", "distill", "docs", "policies", "router", "tests")
    for path in (ROOT / folder).glob("*" if folder == "." else "**/*")
    if path.suffix in (".md", ".py", ".toml", ".yaml", ".yml", ".sh") and path.is_file()
)
_MARK = re.compile(r"^(<{7}|={7}|>{7})( |$)", re.MULTILINE)


def _conflicts(paths: list[Path]) -> Iterator[str]:
    for path in paths:
        for found in _MARK.finditer(path.read_text("utf-8")):
            yield f"{path.name}: {found[0]}"


def test_no_merge_was_left_half_done() -> None:
    assert list(_conflicts(TEXTS)) == []


@pytest.mark.parametrize("mark", ["<<<<<<< ours", "=======", ">>>>>>> theirs"])
def test_a_half_done_merge_would_be_found(mark: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"one\n{mark}\ntwo\n")
    assert list(_conflicts([page])) == [f"page.md: {mark.split('ours')[0].split('theirs')[0]}"]


def test_the_page_of_the_configuration_shows_a_valid_one() -> None:
    page = (ROOT / "docs/configuration.md").read_text("utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    env = {name: f"secret of {name}" for name in re.findall(r"[A-Z]+(?:_[A-Z]+)*_KEY", example)}
    _, problems = examine_settings(example, env)
    # What it names besides is left to the reader, and of two goals the page shows both.
    assert {problem.key for problem in problems} == {
        "models.teacher.fallbacks[0]",
        "workloads[0].budget",
    }
