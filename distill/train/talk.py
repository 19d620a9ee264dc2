"""How a job at work and whoever launched it talk: text one way, lines of JSON the other.

Without an argument the job comes by standard input and the lines go to standard output, so that no
copy of the examples is left on disk. With one, a folder, the job lies there in ``job.txt`` and the
lines go to ``said.jsonl``: for whatever starts a job elsewhere and shares no pipe with it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

JOB, SAID = "job.txt", "said.jsonl"


class Talk:
    """``source``: the job's text; ``say``: a line to the launcher."""

    def __init__(self, source: TextIO, out: TextIO) -> None:
        self.source = source
        self._out = out

    def say(self, said: Mapping[str, Any]) -> None:
        """One line, at once."""
        print(json.dumps(dict(said)), file=self._out, flush=True)


@contextmanager
def open_talk(arguments: Sequence[str]) -> Iterator[Talk]:
    """``arguments``: of the command line, without its first. Whatever a library prints meanwhile
    goes to standard error."""
    standard = sys.stdout
    sys.stdout = sys.stderr
    try:
        if not arguments:
            yield Talk(sys.stdin, standard)
            return
        folder = Path(arguments[0])
        with (
            (folder / JOB).open(encoding="utf-8") as source,
            (folder / SAID).open("a", encoding="utf-8") as out,
        ):
            yield Talk(source, out)
    finally:
        sys.stdout = standard
