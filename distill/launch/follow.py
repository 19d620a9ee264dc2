"""What a job says in a file, read while it is written: for jobs that share a folder and no pipe."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from distill.launch.job import Told


class Follower:
    """Hands each whole line of ``path`` to ``told`` once, and an empty one at every look, so that
    ``told`` may raise."""

    def __init__(self, path: Path, told: Told) -> None:
        self.path = path
        self._told = told
        self._read = 0
        self.last: Mapping[str, Any] = {}
        """The newest line, empty before the first."""

    def forget(self) -> None:
        """What was said so far doesn't count."""
        self.last = {}

    def look(self) -> None:
        """Read on."""
        self._told({})
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # the rest of it is still to come
                self._read += len(line)
                with suppress(ValueError):  # one that was killed may have left half a line
                    self.last = json.loads(line)
                    self._told(self.last)
