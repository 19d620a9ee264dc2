"""A training job, described so that any machine can do it, and how one is launched."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from router.errors import TutelageError

_NAME_CHARS = 16


class LaunchFailed(TutelageError):
    """The job didn't run to its end; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What names a job: two with the same digest have the same result.

    ``dataset``: its digest; ``recipe``: how it is trained, with options and seed, JSON-ready;
    ``needs``: what else it needs, by digest or name; ``threads``: of the numeric libraries, which
    add up in another order where there are more; None: as many as they choose.
    """

    workload: str
    dataset: str
    recipe: Mapping[str, Any]
    needs: Mapping[str, str | None]
    threads: int | None

    @property
    def digest(self) -> str:
        """SHA-256 in hexadecimal."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def name(self) -> str:
        """How the digest starts: fit for a folder, or a job of Kubernetes."""
        return self.digest[:_NAME_CHARS]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A job with what is handed to it.

    ``module``: what Python runs; ``text``: its standard input; ``python``: the interpreter, None
    for the one where it is run; ``log``: where what it prints besides is kept; ``parallel``:
    whether several processes may share the work, as torchrun starts them.
    """

    job: Job
    module: str
    text: str
    log: Path
    python: str | None = None
    parallel: bool = False


@dataclass(frozen=True, kw_only=True)
class Ended:
    """``last``: the last line that the job said, empty where it said none; ``code``: its exit
    status."""

    last: Mapping[str, Any]
    code: int


Told = Callable[[Mapping[str, Any]], None]
"""Is given each line that the job says, and once in a while an empty one, so that it can raise."""


class Launcher(Protocol):
    """One way to run jobs."""

    @property
    def kind(self) -> str:
        """As the configuration calls it."""

    @property
    def threads(self) -> int | None:
        """Of a job; None where the configuration doesn't say."""

    def run(self, call: Call, told: Told) -> Ended:
        """Run it to its end. What ``told`` raises ends the job. Raises LaunchFailed."""


def explain(ended: Ended, log: Path) -> str:
    """Why a job that ended has no result."""
    lines = log.read_text("utf-8", errors="replace").strip().splitlines() if log.exists() else []
    said = lines[-1] if lines else f"exit status {ended.code}"
    return f"The job ended without a result: {said}; all it said is in {log}."
