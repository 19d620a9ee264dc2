"""Seals: each row of the ledger is bound to the one before it.

A row's seal is a SHA-256 over the seal before it and the row's own values. Whoever changes a row,
takes one out or puts one in would have to renew every seal after it and the last one, which
``meta`` keeps. It shows mistakes and clumsy hands; it is no protection from somebody who may
write the whole store and knows how seals are made.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from router.meter.money import plain_usd

FIRST_SEAL: Final = ""
"""What stands for the seal before the first row's."""

HEAD: Final = "ledger_seal"
"""The key of ``meta`` that keeps the last seal."""

_SEALED: Final = (
    *("interaction_id", "n", "at", "tenant", "key_name", "workload", "tier", "model", "purpose"),
    *("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"),
    *("audio_prompt_tokens", "audio_completion_tokens", "basis", "rates", "cost_usd", "held_usd"),
)
"""Never changed: seals of stored rows depend on it. ``detached`` isn't sealed: purging sets it."""


def seal_row(before: str, row: Mapping[str, Any]) -> str:
    """The seal of a row of the ledger, as it is stored; ``before``: the seal of the last one."""
    values = [_plain(row[name]) for name in _SEALED]
    text = json.dumps([before, *values], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    return plain_usd(value) if isinstance(value, Decimal) else value
