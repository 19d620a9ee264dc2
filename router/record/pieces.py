"""Long texts in pieces, so that redacting them lets others have their turn in between."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

LONG_CHARS: Final = 65_536
"""Of a request: what is longer would hold up all others for tens of milliseconds. Also about the
length of a piece."""

# None of these is part of anything that is looked for, nor of what is looked at before or behind
# it; only a private key may hold them, within its block.
_CUT: Final = re.compile(r"[,;<>{}?|]")
_BLOCK: Final = "-----BEGIN "


def find_texts(value: Any) -> Iterator[str]:
    """All texts of a JSON value, keys too."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            pending += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            pending += item


def redact_in_pieces(
    rules: Sequence[Callable[[str], str]], text: str, size: int = LONG_CHARS
) -> str:
    """The same as all rules in turn make of the whole text. ``size``: characters of a piece, or a
    few more: as many as it takes until there is a place for a cut."""
    redacted = []
    for piece in _split(text, size):
        for rule in rules:
            piece = rule(piece)
        redacted.append(piece)
    return "".join(redacted)


def _split(text: str, size: int) -> Iterator[str]:
    """Pieces that nothing to be found reaches across."""
    start = 0
    if _BLOCK not in text:
        while len(text) - start > size and (cut := _CUT.search(text, start + size)):
            yield text[start : cut.end()]
            start = cut.end()
    yield text[start:]
