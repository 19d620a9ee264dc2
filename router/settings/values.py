"""The plain values that settings are made of, and what every section of the file has in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def refuse_bool(value: Any) -> Any:
    """True is an int in Python; in a configuration it is a slip."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, BeforeValidator(refuse_bool), Field(ge=1)]
AboveHalf = Annotated[float, BeforeValidator(refuse_bool), Field(gt=0.5, lt=1)]
WorkloadName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[^/\s]([^/\r\n]*[^/\s])?$")
]


class Section(BaseModel):
    """A mapping of the file: immutable, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
