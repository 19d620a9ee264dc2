"""Reading JSON that somebody else wrote, without the liberties that ``json.loads`` takes.

Python's parser accepts ``NaN``, lets the last of two equal keys win, turns ``1e999`` into
infinity and fails with four kinds of exception. A request that means one thing to this gateway and
another to the upstream must not get through, so all of that is refused here.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 100


class JsonError(ValueError):
    """The text is not JSON as it should be; ``str()`` completes "The body ..."."""


def load_json(raw: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Parse UTF-8 JSON (a byte-order mark is allowed).

    Raises ``JsonError`` for anything malformed, repeated keys, ``NaN`` and infinities, and values
    nested deeper than ``max_depth``.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise JsonError("is not valid UTF-8") from None
    try:
        value = json.loads(
            text,
            object_pairs_hook=_read_object,
            parse_float=_read_float,
            parse_constant=_refuse_constant,
        )
    except json.JSONDecodeError as exc:
        where = f"line {exc.lineno} column {exc.colno}"
        raise JsonError(f"is not valid JSON: {exc.msg} at {where}") from None
    except RecursionError:
        raise JsonError(f"is nested deeper than {max_depth} levels") from None
    except JsonError:
        raise
    except ValueError:  # the interpreter's own limit on the digits of an integer
        raise JsonError("is not valid JSON: a number has too many digits") from None
    if raw.count(b"{") + raw.count(b"[") > max_depth and _is_deeper(value, max_depth):
        raise JsonError(f"is nested deeper than {max_depth} levels")
    return value


def make_well_formed(text: str) -> str:
    """``text`` with lone surrogates replaced by ``?``.

    JSON can spell half of a character (``"\\ud83d"``, from a string cut in the middle of an
    emoji). Forwarding it is fine; hashing, storing or tokenizing it would raise.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonError(f"is ambiguous: the key {key[:100]!r} is given twice")
            seen.add(key)
    return found


def _read_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise JsonError(f"is not valid JSON: the number {text[:40]} is out of range")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise JsonError(f"is not valid JSON: {name} is not a JSON value")


def _is_deeper(value: Any, limit: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        if not level:
            return False
        level = [
            child
            for container in level
            for child in (container.values() if isinstance(container, dict) else container)
            if isinstance(child, (dict, list))
        ]
    return bool(level)
