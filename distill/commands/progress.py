"""How far a long command is."""

from __future__ import annotations

import sys


class Progress:
    """A line on the terminal that is rewritten as it goes; nothing where there is no terminal."""

    def __init__(self) -> None:
        self._shown = ""

    def tell(self, done: int, total: int, what: str) -> None:
        percent = f"{100 * done // max(total, 1):3d} %  {what}"
        if sys.stderr.isatty() and percent != self._shown:
            print(f"\r{percent:<60.60}", end="", file=sys.stderr, flush=True)
            self._shown = percent

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)
