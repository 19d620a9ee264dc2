"""Parts of what a fake upstream sends."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web


def split_choice(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """Several deltas in place of one, as models write them."""
    delta = choice["delta"]
    if delta.get("content"):
        words = re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", delta["content"])
        return [{**choice, "delta": {"content": word}} for word in words]
    if delta.get("tool_calls"):
        call = delta["tool_calls"][0]
        arguments = call["function"]["arguments"]
        opening = {**call, "function": {**call["function"], "arguments": ""}}
        pieces = [arguments[i : i + 8] for i in range(0, len(arguments), 8)]
        rest = [{"index": call["index"], "function": {"arguments": piece}} for piece in pieces]
        return [{**choice, "delta": {"tool_calls": [part]}} for part in (opening, *rest)]
    return [choice]


def write_error(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    """An error in OpenAI's shape."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return web.json_response({"error": error}, status=status, headers=headers)
