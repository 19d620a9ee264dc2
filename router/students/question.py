"""Which requests are the same question: what may differ, and what may not.

The last user message is folded; everything else of the body is part of the question as it stands:
instructions, earlier turns, tools, response format, temperature, seed, limits, and every field that
this gateway doesn't know. Only fields that can't change an answer are left out.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

_NO_DIFFERENCE = frozenset(
    {
        *("model", "stream", "stream_options", "n", "store", "metadata", "user"),
        *("safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"),
    }
)
"""``model``: the teacher that it stands for is named apart; ``n``: what has several choices is
never drafted."""

_END = re.compile(r"(?<=[^\W\d_]{2})[ ]*[.!?]+$")
"""Marks after a word of at least two letters: "5!" and "x." keep theirs."""


def identify(body: Mapping[str, Any], *, teacher: str, tenant: str) -> str:
    """A digest that is equal for requests of the same question, 64 hexadecimal digits.

    ``teacher``: names the model that is to answer, and where it is reached. Raises TypeError or
    ValueError for a body that is no JSON.
    """
    said = [dict(message) for message in body["messages"]]
    for message in reversed(said):
        if message.get("role") == "user":
            message["content"] = _fold_content(message.get("content"))
            break
    rest = {
        key: value
        for key, value in body.items()
        if key not in _NO_DIFFERENCE and key != "messages" and value is not None
    }
    text = json.dumps([tenant, teacher, said, rest], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fold_question(text: str) -> str:
    """Case, white space and the marks at the very end of a single line.

    Of several lines only the white space around them: in code, lists and documents it means
    something inside, and so may case.
    """
    trimmed = unicodedata.normalize("NFC", text).strip()
    if len(trimmed.splitlines()) > 1:
        return trimmed
    return _END.sub("", " ".join(trimmed.split())).lower()


def _fold_content(content: Any) -> Any:
    if isinstance(content, str):
        return fold_question(content)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
        only = content[0]
        if only.keys() == {"type", "text"} and isinstance(only["text"], str):
            return fold_question(only["text"])
    return content
