"""Where training jobs run."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from router.settings.values import Count, Section, Text

PLACEHOLDERS: Final = ("folder", "job", "module", "python", "threads", "workload")
"""What a command's words may name in braces."""

PLACEHOLDER: Final = re.compile(r"\{(" + "|".join(PLACEHOLDERS) + r")\}")

_ANY = re.compile(r"\{([A-Za-z_]\w*)\}")
_ONLY_FOR: Final = {
    "processes": "torchrun",
    "address": "ray",
    "command": "command",
    "folder": "command",
}


def _read_command(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ValueError(f"can't be split into words ({error}): give a list of them") from error


class LauncherSettings(Section):
    """``kind``: where. ``threads``: of a job's numeric libraries: the same number gives the same
    release; None: 1, but in this process as many as they choose. ``processes``: that share a
    student's training. ``address``: of a Ray cluster, None for one of its own on this machine.
    ``command``: the words of a command, not read by a shell; ``folder``: where it finds jobs, None
    for one beside the store."""

    kind: Literal["process", "torchrun", "ray", "command"] = "process"
    threads: Count | None = None
    processes: Count | None = None
    address: Text | None = None
    command: Annotated[
        tuple[Text, ...] | None, BeforeValidator(_read_command), Field(min_length=1)
    ] = None
    folder: Text | None = None

    @model_validator(mode="after")
    def _fits(self) -> LauncherSettings:
        for name, kind in _ONLY_FOR.items():
            if getattr(self, name) is not None and self.kind != kind:
                raise ValueError(f"has {name}, which is only for kind {kind}: remove it")
        if self.kind == "torchrun" and self.processes is None:
            raise ValueError("of kind torchrun needs processes: how many share the training")
        if self.kind == "command":
            self._check_command()
        return self

    def _check_command(self) -> None:
        if self.command is None:
            raise ValueError("of kind command needs command: the words that start a job")
        named = {name for word in self.command for name in _ANY.findall(word)}
        if "folder" not in named:
            raise ValueError("has a command without {folder}: the job's, which it must be told")
        unknown = sorted(named - set(PLACEHOLDERS))
        if unknown:
            known = ", ".join(PLACEHOLDERS)
            raise ValueError(f"has a command with {{{unknown[0]}}}: there are {known}")


def read_launcher(value: Any) -> Any:
    """A kind alone, or all of it."""
    return {"kind": value} if isinstance(value, str) else value
