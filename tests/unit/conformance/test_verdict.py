"""The list of exceptions holds exactly what fails, each with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.verdict import judge, read_exceptions

FOUND = {"a.one": None, "a.two": "404", "b.three": "skipped"}


@pytest.mark.parametrize(
    ("exceptions", "wrong"),
    [
        ({"a.two": "r", "b.*": "r"}, []),
        ({"b.*": "r"}, ["a.two failed: 404"]),
        ({"a.*": "r", "b.*": "r"}, ["a.one passes: take it off the list of exceptions"]),
        (
            {"a.two": "r", "b.*": "r", "c": "r"},
            ["c names nothing that was run: take it off the list of exceptions"],
        ),
    ],
)
def test_judgement(exceptions: dict[str, str], wrong: list[str]) -> None:
    assert list(judge(FOUND, exceptions)) == wrong


def test_an_exception_needs_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "exceptions.txt"
    path.write_text("# why\na.two: not ours: really\n")
    assert read_exceptions(path) == {"a.two": "not ours: really"}
    path.write_text("a.two\n")
    with pytest.raises(SystemExit, match="has no reason"):
        read_exceptions(path)
