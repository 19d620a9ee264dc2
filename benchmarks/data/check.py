"""Are the recorded streams there, and are they the ones that the tables were made from?

``manifest.toml`` beside this file names each stream's public source, revision, licence, rows and
digest. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import sys
import tomllib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MANIFEST = Path(__file__).with_name("manifest.toml")


class State(StrEnum):
    """What became of a stream."""

    INTACT = "intact"
    MISSING = "missing"
    OTHER = "other"


class Stream(BaseModel):
    """One entry of the manifest."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    holds: str
    source: str
    revision: str
    licence: str
    rows: int = Field(gt=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    contents: str = Field(pattern="^[0-9a-f]{64}$")
    builder: str
    files: Mapping[str, str] = {}
    why_none: str = ""


class _Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    streams: dict[str, Stream]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """``sentence`` says what was found and, where something is amiss, what to do."""

    state: State
    sentence: str


def read_manifest(path: Path = MANIFEST) -> Mapping[str, Stream]:
    """Entries by the stream's name."""
    with path.open("rb") as file:
        return _Manifest.model_validate(tomllib.load(file)).streams


def check_stream(name: str, stream: Stream, folder: Path) -> Finding:
    """Hold ``folder/streams/NAME.jsonl.gz`` against its entry."""
    path = folder / "streams" / f"{name}.jsonl.gz"
    origin = f"it is made from {stream.source}, revision {stream.revision} ({stream.licence})"
    how = f"no builder: {stream.why_none}"
    if stream.builder != "none":
        how = f"build it with python -m {stream.builder} {name} --out DIR"
    if not path.is_file():
        return Finding(state=State.MISSING, sentence=f"missing; {origin}; {how}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest == stream.sha256:
        return Finding(state=State.INTACT, sentence=f"intact, {stream.rows} rows")
    rows, contents = _read(path)
    if contents == stream.contents:
        sentence = f"intact, {stream.rows} rows, packed otherwise"
        return Finding(state=State.INTACT, sentence=sentence)
    counted = "it can't be unpacked" if rows is None else f"{rows} rows, {stream.rows} expected"
    return Finding(
        state=State.OTHER,
        sentence=f"not the file of the tables ({counted}; sha256 {digest[:12]}…, expected "
        f"{stream.sha256[:12]}…); {origin}; {how}",
    )


def _read(path: Path) -> tuple[int | None, str | None]:
    """Rows, and the digest of what is packed; None where it can't be unpacked."""
    digest, rows = hashlib.sha256(), 0
    try:
        with gzip.open(path) as lines:
            for line in lines:
                digest.update(line)
                rows += bool(line.strip())
    except (OSError, EOFError, zlib.error):
        return None, None
    return rows, digest.hexdigest()


def main() -> int:
    """Print a line for each stream; 0 if all are intact, 1 if one isn't, 2 without a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python -m benchmarks.data.check --data DIR"
    )
    data = os.environ.get("TUTELAGE_DATA")
    parser.add_argument("--data", type=Path, default=Path(data) if data else None)
    folder = parser.parse_args().data
    if folder is None or not folder.is_dir():
        print(
            "check: name the folder that holds streams/ by --data or TUTELAGE_DATA", file=sys.stderr
        )
        return 2
    findings = {
        name: check_stream(name, stream, folder) for name, stream in read_manifest().items()
    }
    for name, finding in findings.items():
        print(f"{name}: {finding.sentence}")
    intact = sum(finding.state is State.INTACT for finding in findings.values())
    print(f"{intact} of {len(findings)} intact")
    return 0 if intact == len(findings) else 1


if __name__ == "__main__":
    sys.exit(main())
