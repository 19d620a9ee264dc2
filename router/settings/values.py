"""The plain values that settings are made of, and what every section of the file has in common."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:s|m|h|d)\s*)+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_LONGEST_S = 3650 * 86_400


def refuse_bool(value: Any) -> Any:
    """True is an int in Python; in a configuration it is a slip."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return value


def _read_duration(value: Any) -> Any:
    """``6h``, ``1h30m``, ``90s`` or a number of seconds, as seconds."""
    if isinstance(value, bool):
        raise ValueError("must be a duration such as 6h, 30m or 1d")
    if isinstance(value, str) and not value.strip().replace(".", "", 1).isdecimal():
        if not _DURATION.fullmatch(value.strip()):
            raise ValueError("must be a duration such as 6h, 30m or 1d")
        units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
        return sum(float(n) * units[unit] for n, unit in _DURATION_PART.findall(value))
    return value


Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, BeforeValidator(refuse_bool), Field(ge=1)]
Duration = Annotated[float, BeforeValidator(_read_duration), Field(ge=0, le=_LONGEST_S)]
AboveHalf = Annotated[float, BeforeValidator(refuse_bool), Field(gt=0.5, lt=1)]
WorkloadName = Annotated[
    str, Field(min_length=1, max_length=100, pattern=r"^[^/\s]([^/\r\n]*[^/\s])?$")
]


class Section(BaseModel):
    """A mapping of the file: immutable, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
