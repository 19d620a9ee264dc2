"""Interactions as lines of a journal: a checksum, then everything as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple

from policies.types import Tier
from router.meter.money import plain_usd
from router.meter.prices import Usage
from router.record.model import Attempt, Interaction
from router.record.rows import TOKENS, from_attempt, from_interaction
from router.wire.written_json import write_json

_FIELDS: Final = tuple(f.name for f in fields(Interaction) if f.name != "attempts")
_LATER: Final = ("first_token_ms",)
"""Fields that lines of earlier releases lack."""
_MONEY: Final = ("cost_usd", "teacher_cost_usd")
_MONEY_OF_ATTEMPT: Final = ("cost_usd", "held_usd")


class Line(NamedTuple):
    """``open``: what was known before the end of a delivery; a later line of the same interaction
    takes its place."""

    interaction: Interaction
    open: bool


def write_line(record: Interaction, *, open_: bool) -> bytes:
    """One line, its end included. An interaction that isn't stored leaves no content in it."""
    row = from_interaction(record)
    for name in _MONEY:
        row[name] = _write_usd(row[name])
    attempts = []
    for attempt in record.attempts:
        call = from_attempt(attempt)
        for name in _MONEY_OF_ATTEMPT:
            call[name] = _write_usd(call[name])
        attempts.append(call)
    row["attempts"] = attempts
    row["open"] = open_
    text = write_json(row)
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read_lines(path: Path) -> Iterator[Line | None]:
    """The lines of a journal in order; None for each that is damaged, such as a torn last one."""
    with path.open("rb") as file:
        for raw in file:
            yield _read(raw)


def _read(raw: bytes) -> Line | None:
    checksum, _, text = raw.rstrip(b"\n").partition(b" ")
    try:
        if int(checksum, 16) != zlib.crc32(text):
            return None
        row = json.loads(text)
        return Line(_to_interaction(row), row["open"])
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _to_interaction(row: Mapping[str, Any]) -> Interaction:
    values = {name: row[name] for name in _FIELDS if name in row or name not in _LATER}
    values |= {name: _read_usd(row[name]) for name in _MONEY}
    values |= {"tier": Tier(row["tier"]), "trace": tuple(row["trace"])}
    return Interaction(**values, attempts=tuple(_to_attempt(call) for call in row["attempts"]))


def _to_attempt(row: Mapping[str, Any]) -> Attempt:
    values = {name: value for name, value in row.items() if name not in TOKENS}
    values |= {name: _read_usd(row[name]) for name in _MONEY_OF_ATTEMPT}
    usage = None
    if row["prompt_tokens"] is not None:
        usage = Usage(**{name: row[name] for name in TOKENS})
    return Attempt(**{**values, "tier": Tier(row["tier"])}, usage=usage)


def _write_usd(amount: Decimal | None) -> str | None:
    return None if amount is None else plain_usd(amount)


def _read_usd(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
