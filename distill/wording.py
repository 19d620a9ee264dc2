"""Numbers in sentences for people."""

from __future__ import annotations


def count_of(number: int, noun: str, plural: str | None = None) -> str:
    """``1 answer``, ``1,200 answers``; ``plural`` where an s doesn't do."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
