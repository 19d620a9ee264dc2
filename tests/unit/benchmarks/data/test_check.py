"""The manifest names every stream, and a folder is held against it."""

from __future__ import annotations

import gzip
import hashlib
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks.data.check import State, Stream, check_stream, main, read_manifest
from benchmarks.data.makers import MAKERS
from benchmarks.frontier.protocol import STREAMS


def entry(content: bytes, builder: str = "none") -> Stream:
    return Stream(
        holds="two rows",
        source="a public place",
        revision="r1",
        licence="CC0",
        rows=2,
        sha256=hashlib.sha256(content).hexdigest(),
        contents=hashlib.sha256(b"{}\n{}\n").hexdigest(),
        builder=builder,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "streams").mkdir()
    return tmp_path


def test_manifest_names_every_stream_that_is_compared() -> None:
    named = read_manifest()
    for train, test in STREAMS.values():
        assert set(train) | set(test) <= set(named)
    assert "banking77-gpt4" in named


def test_entry_without_a_digest_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.toml"
    path.write_text('[streams.a]\nsource = "x"\n', encoding="utf-8")
    with pytest.raises(ValidationError, match="sha256"):
        read_manifest(path)


def test_intact_file(folder: Path) -> None:
    content = gzip.compress(b"{}\n{}\n")
    (folder / "streams/a.jsonl.gz").write_bytes(content)
    assert check_stream("a", entry(content), folder).state is State.INTACT


def test_the_same_rows_packed_otherwise_are_intact(folder: Path) -> None:
    (folder / "streams/a.jsonl.gz").write_bytes(gzip.compress(b"{}\n{}\n", 1, mtime=5))
    found = check_stream("a", entry(gzip.compress(b"{}\n{}\n")), folder)
    assert found.state is State.INTACT
    assert "packed otherwise" in found.sentence


def test_a_stream_has_either_a_builder_or_the_reason_for_none() -> None:
    for name, stream in read_manifest().items():
        assert (name in MAKERS) is (stream.builder == "benchmarks.data.build") is bool(stream.files)
        assert (stream.builder == "none") is bool(stream.why_none)


def test_missing_file_says_where_it_comes_from(folder: Path) -> None:
    found = check_stream("a", entry(b""), folder)
    assert found.state is State.MISSING
    assert "a public place, revision r1 (CC0); no builder" in found.sentence
    built = check_stream("a", entry(b"", "benchmarks.data.a"), folder)
    assert "build it with python -m benchmarks.data.a a --out DIR" in built.sentence


@pytest.mark.parametrize(
    ("content", "counted"),
    [(gzip.compress(b"{}\n{}\n{}\n"), "3 rows, 2 expected"), (b"text", "can't be unpacked")],
    ids=["another row", "not packed"],
)
def test_other_file_is_told_apart(folder: Path, content: bytes, counted: str) -> None:
    (folder / "streams/a.jsonl.gz").write_bytes(content)
    found = check_stream("a", entry(b""), folder)
    assert found.state is State.OTHER
    assert counted in found.sentence


def test_command_counts_what_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check", "--data", str(folder)])
    assert main() == 1
    assert f"0 of {len(read_manifest())} intact" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["check", "--data", str(folder / "nowhere")])
    assert main() == 2
