"""The demo's child processes: started with their output in files, and ended whatever happens."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from router.errors import TutelageError

_POLL_S = 0.05
_PATIENCE_S = 60.0
_GRACE_S = 20.0
_LAST_LINES = 8
_ADDRESS = re.compile(rb"listens on (http://\S+)\r?\n")

TUTELAGE = (sys.executable, "-c", "import sys; from router.cli import main; sys.exit(main())")
"""The command line of this installation. Its script is no use: on Windows it is another process
around the one that works, and ending it would leave that one running."""


class DemoError(TutelageError):
    """The demo can't start or can't go on; the sentence says why."""


class Child:
    """One process. ``name``: what people call it; its output is in ``folder``/NAME.log."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self.name = name
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                **_own_group(),
            )

    def check(self) -> None:
        """Raises DemoError, with the last lines of its log, if the process has ended."""
        code = self._process.poll()
        if code is not None:
            raise DemoError(f"The {self.name} ended with code {code}.{self._last_words()}")

    async def address(self) -> str:
        """The address that it says it listens on, once it says so. Raises DemoError."""
        for _ in range(int(_PATIENCE_S / _POLL_S)):
            found = _ADDRESS.search(self._log.read_bytes())
            if found:
                return found[1].decode()
            self.check()
            await asyncio.sleep(_POLL_S)
        raise DemoError(f"The {self.name} did not start in {_PATIENCE_S:.0f} s; free the machine.")

    def end(self) -> None:
        """Ask it to end, wait, and kill it if it doesn't."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()

    def _last_words(self) -> str:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "".join(f"\n  {line}" for line in lines[-_LAST_LINES:])


def _own_group() -> dict[str, Any]:
    """Ctrl-C goes to a whole group: the demo alone is to get it, and to end the others in order."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}


class Children:
    """All children, ended in the reverse of the order in which they were started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            while self._running:
                self._running[-1].end()
                self._running.pop()
        finally:  # an impatient Ctrl-C must not leave any behind
            for child in self._running:
                child.kill()

    def start(self, name: str, *command: str | os.PathLike[str]) -> Child:
        """Start one more."""
        child = Child(name, [os.fspath(part) for part in command], self._folder)
        self._running.append(child)
        return child

    def check(self) -> None:
        """Raises DemoError if one of them has ended."""
        for child in self._running:
            child.check()

    def end(self, child: Child) -> None:
        """End this one before the others."""
        child.end()
        self._running.remove(child)
