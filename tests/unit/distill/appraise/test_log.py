"""A log in any of its forms becomes the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from distill.appraise.log import read_log
from distill.streams import StreamError
from router.settings.model import Settings

SYSTEM = {"role": "system", "content": "Sort the message."}


def request(text: str) -> dict[str, Any]:
    return {"model": "gpt", "messages": [SYSTEM, {"role": "user", "content": text}]}


def completion(said: str, created: int | None = None) -> dict[str, Any]:
    message = {"role": "assistant", "content": said}
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return {
        "id": f"chatcmpl-{said}-{created}",
        "created": created,
        "model": "gpt-x",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": usage,
    }


def write(path: Path, *lines: Any) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def test_requests_with_responses_are_read_in_the_order_of_their_times(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.jsonl",
        {"request": request("second"), "response": completion("b", 2_000)},
        {"body": request("first"), "response": {"body": completion("a", 1_000)}, "custom_id": "7"},
        {
            "request": request("third"),
            "response": completion("c"),
            "timestamp": "1970-01-01T01:00:00Z",
            "cost_usd": 0.5,
        },
    )
    log = read_log(path, Settings())
    assert [entry.row.teacher.answer.content for entry in log.entries] == ["a", "b", "c"]
    assert [entry.at_s for entry in log.entries] == [1_000, 2_000, 3_600]
    assert log.span_s == 2_600
    assert log.entries[0].row.id == "7"
    assert str(log.entries[2].row.teacher.cost_usd) == "0.500000000000"
    usage = log.entries[0].row.teacher.usage
    assert usage is not None
    assert usage.prompt_tokens == 10


def test_requests_with_the_same_instructions_are_one_workload(tmp_path: Path) -> None:
    other = {"model": "gpt", "messages": [{"role": "user", "content": "hello"}]}
    path = write(
        tmp_path / "log.jsonl",
        {"request": request("x"), "response": completion("a")},
        {"request": request("y"), "response": completion("b")},
        {"request": other, "response": completion("c")},
    )
    log = read_log(path, Settings())
    assert sorted(log.labels.values()) == ["Sort the message.", "requests without instructions"]
    assert len({entry.row.workload for entry in log.entries}) == 2
    assert log.span_s is None


def test_what_holds_no_answer_is_left_out_and_counted(tmp_path: Path) -> None:
    several = completion("a")
    several["choices"] = several["choices"] * 2
    path = write(
        tmp_path / "log.jsonl",
        {"request": request("x"), "response": completion("a")},
        {"request": request("x"), "response": completion("a")},
        {"request": request("x"), "response": {"error": {"message": "busy"}}},
        {"request": {"input": "x"}, "response": {"data": []}},
        {"request": request("x"), "response": several},
        {"request": request("x"), "response": {"choices": [{"delta": {"content": "a"}}]}},
    )
    log = read_log(path, Settings())
    assert len(log.entries) == 1
    assert log.skipped == {
        "repeated id": 1,
        "an error instead of an answer": 1,
        "no chat completion": 1,
        "several choices": 1,
        "no whole message: log answers, not chunks of streams": 1,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{\n", "line 1: it is not valid JSON"),
        ("[]\n", "line 1: it must be a JSON object"),
        ('{"a": 1}\n', "no 'request' with a 'response', and no 'teacher'"),
        ("\n", "holds no answered chat completion"),
    ],
)
def test_a_broken_log_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(StreamError, match=r"log\.jsonl") as refused:
        read_log(path, Settings())
    assert message in str(refused.value)
