"""What of a request a draft must have been learned for: its instructions and the answer's form."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from router.wire.requests import system_prompt

_FORM_KEYS = ("tools", "tool_choice", "response_format", "stop")
_NO_FORM: Mapping[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "tool_choice": (None, "auto", "none"),
    "response_format": (None, {"type": "text"}),
    "stop": (None, []),
}


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Digests: ``form`` of tools, tool choice, response format and stop words, ``prompt`` of the
    instructions before the first turn."""

    form: str
    prompt: str


def profile_of(body: Mapping[str, Any]) -> Profile:
    """The profile of a chat-completions request; spelled-out defaults are no difference."""
    given = {key: body.get(key) for key in _FORM_KEYS if body.get(key) not in _NO_FORM[key]}
    if body.get("tool_choice") == "none":
        given.pop("tools", None)
    return Profile(form=_digest(given), prompt=_digest(system_prompt(body)))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
