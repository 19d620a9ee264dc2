"""What was found, held against the list of exceptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path


def read_exceptions(path: Path) -> dict[str, str]:
    """Patterns of names that may fail, each with its reason: ``PATTERN: reason`` a line."""
    exceptions = {}
    for line in path.read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pattern, _, reason = line.partition(": ")
            exceptions[pattern.strip()] = reason.strip()
            if not reason.strip():
                raise SystemExit(f"{path}: '{pattern}' has no reason: write PATTERN: reason.")
    return exceptions


def judge(found: Mapping[str, str | None], exceptions: Mapping[str, str]) -> Iterator[str]:
    """What is wrong, a sentence each; ``found``: by name, what failed, None where nothing did.

    An exception must still be one: what it names fails, all of it, and it names something.
    """
    for name, failure in found.items():
        excused = any(fnmatchcase(name, pattern) for pattern in exceptions)
        if failure is not None and not excused:
            yield f"{name} failed: {failure}"
        if failure is None and excused:
            yield f"{name} passes: take it off the list of exceptions"
    for pattern in exceptions:
        if not any(fnmatchcase(name, pattern) for name in found):
            yield f"{pattern} names nothing that was run: take it off the list of exceptions"
