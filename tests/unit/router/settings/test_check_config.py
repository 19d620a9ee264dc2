"""The command prints what the check finds and exits accordingly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from router.commands import check_config


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text("models:\n  teacher: {upstream: 'http://h/v1', model: m}\n")
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text("models:\n  teacher: {upstream: h, model: m}\nsever: {}\n")
    return path


def test_warnings_alone_are_success(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config.run(str(good), as_json=False) == 0
    out = capsys.readouterr().out
    assert f"{good}:2: warning: models.teacher.distillation is unknown" in out
    assert out.endswith(f"{good} can be used: 2 warnings.\n")


def test_errors_are_listed_with_lines(bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config.run(str(bad), as_json=False) == 1
    out = capsys.readouterr().out
    assert f"{bad}:2: error: models.teacher.upstream must be a URL" in out
    assert f"{bad}:3: error: sever is not a known key: did you mean server?" in out
    assert out.endswith(f"{bad} can't be used: 2 errors and 2 warnings.\n")


def test_json(good: Path, bad: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check_config.run(str(bad), as_json=True) == 1
    body = json.loads(capsys.readouterr().out)
    assert (body["ok"], body["errors"], body["warnings"], body["digest"]) == (False, 2, 2, None)
    assert body["problems"][-1]["key"] == "sever"
    assert check_config.run(str(good), as_json=True) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["ok"]
    assert len(body["digest"]) == 64


def test_a_file_that_isnt_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "none.yaml")
    assert check_config.run(path, as_json=False) == 1
    assert capsys.readouterr().err == f"The configuration {path} does not exist.\n"
    assert check_config.run(path, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["errors"] == 1
