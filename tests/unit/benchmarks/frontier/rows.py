"""Rows of made-up streams with two recorded models."""

from __future__ import annotations

from typing import Any

from distill.streams import RecordedAnswer, StreamRow
from policies.types import Answer, ToolCall


def make_row(
    i: int,
    *,
    question: str = "",
    draft: str = "draft",
    student: bool = True,
    teacher: bool = True,
    logprob: float | None = None,
    workload: str | None = "w",
    tools: list[dict[str, Any]] | None = None,
    calls: tuple[ToolCall, ...] = (),
) -> StreamRow:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": question or f"question {i}"}]}
    if tools is not None:
        body["tools"] = [{"type": "function", "function": tool} for tool in tools]
    return StreamRow(
        id=f"kind-{i}",
        workload=workload,
        body=body,
        teacher=RecordedAnswer(answer=Answer(content=f"teacher says {i}"), correct=teacher),
        student=RecordedAnswer(
            answer=Answer(content=draft, tool_calls=calls),
            correct=student,
            evidence={} if logprob is None else {"mean_logprob": logprob},
        ),
        gold=f"gold {i}",
    )
