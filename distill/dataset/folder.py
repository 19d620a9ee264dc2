"""Datasets on disk: each in a folder named by its digest, written whole and never changed.

``manifest.json`` says what went in, ``examples.jsonl.gz`` holds it. A dataset that had to go (its
data was erased, or is too old) keeps its manifest, and ``withdrawn.json`` in place of the examples
says when and why.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.dataset.examples import read_example, write_example
from distill.dataset.model import FORMAT, Bundle, canonical, digest_of
from router.errors import TutelageError

_MANIFEST, _EXAMPLES, _WITHDRAWN = "manifest.json", "examples.jsonl.gz", "withdrawn.json"
_NAME_CHARS = 16
_SHORTEST = 6


class DatasetError(TutelageError):
    """A dataset is missing, damaged, withdrawn or can't be written."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A dataset in the folder. ``withdrawn``: why its examples are gone; None while they are
    there."""

    path: Path
    manifest: Mapping[str, Any]
    withdrawn: Mapping[str, Any] | None

    @property
    def digest(self) -> str:
        """Of the dataset as it was built."""
        return str(self.manifest["digest"])


def save(folder: Path, bundle: Bundle) -> Path:
    """Write it; the same one again is no error. Raises DatasetError."""
    target = folder / bundle.digest[:_NAME_CHARS]
    if (target / _EXAMPLES).exists():
        return target
    draft: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=folder))
        (draft / _MANIFEST).write_bytes(canonical(bundle.manifest))
        with (
            (draft / _EXAMPLES).open("wb") as raw,
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0) as file,
        ):
            for example in bundle.examples:
                file.write(canonical(write_example(example)) + b"\n")
        if target.exists():  # it was withdrawn, and what it holds is here again
            shutil.rmtree(target)
        os.replace(draft, target)
    except OSError as error:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)
        if not (target / _EXAMPLES).exists():
            why = error.strerror or type(error).__name__
            raise DatasetError(
                f"The dataset can't be written to {folder}: {why}; make room or set permissions."
            ) from error
    return target


def load(kept: Kept) -> Bundle:
    """Read and verify. Raises DatasetError where it was withdrawn or is damaged."""
    if kept.withdrawn is not None:
        raise DatasetError(
            f"The dataset {kept.digest[:12]} was withdrawn: {kept.withdrawn['reason']}; build "
            "another with 'tutelage distill dataset build'."
        )
    try:
        lines = gzip.decompress((kept.path / _EXAMPLES).read_bytes()).splitlines()
        examples = tuple(read_example(json.loads(line)) for line in lines)
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"The dataset at {kept.path} can't be read ({error}); restore it or build another."
        ) from error
    if digest_of(kept.manifest, lines) != kept.digest:
        raise DatasetError(
            f"The dataset at {kept.path} is damaged: its digest doesn't match; build another."
        )
    return Bundle(manifest=kept.manifest, examples=examples, digest=kept.digest)


def list_kept(folder: Path) -> Iterator[Kept]:
    """Every dataset of a folder, by name. Raises DatasetError for one whose manifest is none."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            manifest = json.loads((path / _MANIFEST).read_bytes())
            note = path / _WITHDRAWN
            withdrawn = json.loads(note.read_bytes()) if note.exists() else None
        except (OSError, ValueError) as error:
            raise DatasetError(
                f"The dataset at {path} can't be read ({error}); restore it or delete its folder."
            ) from error
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise DatasetError(f"{path} is no dataset of this version; move it elsewhere.")
        yield Kept(path=path, manifest=manifest, withdrawn=withdrawn)


def find(folder: Path, start: str) -> Kept:
    """The dataset whose digest begins so. Raises DatasetError."""
    if len(start) < _SHORTEST:
        raise DatasetError(f"{start!r} is too short: give at least {_SHORTEST} characters.")
    found = [kept for kept in list_kept(folder) if kept.digest.startswith(start)]
    if len(found) != 1:
        raise DatasetError(
            f"{len(found) or 'No'} datasets begin with {start!r}; 'tutelage distill dataset show' "
            "lists them."
        )
    return found[0]


def withdraw(kept: Kept, reason: str, at: float, successor: str | None) -> None:
    """Take a dataset's examples away for good; what was known of them in numbers stays.

    ``successor``: the digest of what is left of it. Raises DatasetError.
    """
    note = {"reason": reason, "at": at, "successor": successor}
    try:
        (kept.path / _WITHDRAWN).write_bytes(canonical(note))
        (kept.path / _EXAMPLES).unlink(missing_ok=True)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise DatasetError(
            f"The dataset at {kept.path} can't be deleted: {why}; set its permissions."
        ) from error
