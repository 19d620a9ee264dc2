"""What is wrong with a configuration, and where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the file down to a value."""

Severity = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing to put right. ``line`` counts from 1; ``key`` is dotted, empty for the whole file.

    ``message`` follows on the key as the rest of a sentence and never holds a secret or a value
    that came from the environment.
    """

    line: int
    key: str
    message: str
    severity: Severity = "error"

    @property
    def sentence(self) -> str:
        """Key and message in one."""
        return f"{self.key} {self.message}" if self.key else self.message


def dotted(path: Path) -> str:
    """``("workloads", 0, "name")`` as ``workloads[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, by line, errors before warnings."""
    return sorted(set(problems), key=lambda p: (p.line, p.severity, p.key, p.message))
