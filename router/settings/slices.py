"""Slices: parts of a workload's traffic that keep its promise by themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from router.settings.values import AboveHalf, Count, Section, Text, WorkloadName


def _read_globs(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Globs = Annotated[tuple[Text, ...], BeforeValidator(_read_globs), Field(min_length=1)]
"""One glob or several, of which one must fit."""


class SliceMatch(Section):
    """Which interactions of a workload are of a slice: those that meet every condition given.

    ``user_message``, ``min_chars``, ``max_chars``: of the last user message, whose case plays no
    part; ``min_turns``: user messages in the conversation; ``system_prompt``: as in a workload's
    match; ``key``, ``tenant``: of the caller; ``metadata``: globs over values of the request's own
    ``metadata``.
    """

    user_message: Globs | None = None
    min_chars: Count | None = None
    max_chars: Count | None = None
    min_turns: Count | None = None
    system_prompt: Globs | None = None
    key: Globs | None = None
    tenant: Globs | None = None
    metadata: Mapping[Text, Globs] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> SliceMatch:
        given = self.model_dump(exclude_none=True)
        if not given or given.get("metadata") == {}:
            raise ValueError(
                "matches everything, as the workload does: give a condition, such as"
                ' user_message: "*refund*"'
            )
        if self.min_chars and self.max_chars and self.min_chars > self.max_chars:
            raise ValueError("matches nothing: min_chars is above max_chars")
        return self


def _read_slice_match(value: Any) -> Any:
    return {"user_message": value} if isinstance(value, str) else value


class SliceSettings(Section):
    """A part of a workload's traffic that keeps the promise by itself.

    ``agreement``: promised of the slice; None: as of the workload.
    """

    name: WorkloadName
    match: Annotated[SliceMatch, BeforeValidator(_read_slice_match)]
    agreement: AboveHalf | None = None
