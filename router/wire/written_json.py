"""JSON as it is written, compact and in UTF-8, and as upstreams are read."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def write_json(value: Any) -> bytes:
    """JSON text of ``value``; NaN and infinities, which JSON doesn't know, become null."""
    try:
        return orjson.dumps(value)
    except TypeError:  # half of a character, or an integer of more than 64 bits
        pass
    try:
        return _ENCODER.encode(value).encode()
    except ValueError:
        return _ENCODER.encode(_finite(value)).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read_json(text: str | bytes) -> Any:
    """What an upstream wrote. Raises ValueError or RecursionError where that is no JSON.

    Numbers of more than 64 bits come as floats; what must be passed on as it came isn't written
    again from this.
    """
    try:
        return orjson.loads(text)
    except ValueError:  # half of a character, or NaN
        return json.loads(text)
