"""What a policy is told about a request before any tier is asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.types import Features
from router.wire.openai import count_prompt_chars


def describe_request(
    body: Mapping[str, Any],
    *,
    workload: str,
    student_ready: bool,
    recall_ready: bool,
    cascadable: bool,
) -> Features:
    """Counted from the body alone; nothing is encoded and no text is copied."""
    messages = [one for one in body.get("messages") or () if isinstance(one, Mapping)]
    said = [one for one in messages if one.get("role") == "user"]
    wanted = body.get("response_format")
    return Features(
        workload=workload,
        turns=max(1, len(said)),
        prompt_chars=count_prompt_chars(body),
        last_user_chars=count_prompt_chars({"messages": said[-1:]}),
        has_tools=bool(body.get("tools")),
        wants_json=isinstance(wanted, Mapping) and wanted.get("type") in _JSON_FORMATS,
        stream=body.get("stream") is True,
        student_ready=student_ready,
        recall_ready=recall_ready,
        cascadable=cascadable,
    )


_JSON_FORMATS = ("json_object", "json_schema")
