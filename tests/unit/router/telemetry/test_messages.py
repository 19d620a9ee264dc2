"""Recorded messages in OpenTelemetry's form."""

from __future__ import annotations

import json

from router.telemetry.messages import write_input, write_output


def test_text_calls_and_their_results() -> None:
    call = {"id": "c1", "function": {"name": "find", "arguments": '{"n": 1}'}}
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
        ]
    }
    written = write_input(body)
    assert written is not None
    assert "base64" not in written
    system, user, assistant, tool = json.loads(written)
    assert system == {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]}
    assert [part["type"] for part in user["parts"]] == ["text", "image_url"]
    assert assistant["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "find", "arguments": '{"n": 1}'}
    ]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "one"}]


def test_an_answer_and_what_holds_no_messages() -> None:
    answer = {"content": "yes", "tool_calls": [], "refusal": None, "finish_reason": "length"}
    (written,) = json.loads(write_output(answer))
    assert written["parts"] == [{"type": "text", "content": "yes"}]
    assert written["finish_reason"] == "length"
    assert write_input({"input": "text to embed"}) is None
