"""Reading recorded streams: what is understood, what is kept apart, what each fault says."""

from __future__ import annotations

import gzip
import json
import os
import random
import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from distill.streams import RecordedAnswer, StreamError, StreamRow, read_calls_text, read_stream
from policies.types import Answer, ToolCall
from router.meter.prices import Usage

REQUEST = {"messages": [{"role": "user", "content": "Where is my parcel?"}]}
HALF_A_TOKEN = {"prompt_tokens": 0.5, "completion_tokens": 1}
TOOLS = frozenset({"geo.find", "sum_up", "a.b", "a_b"})


def _row(**changes: Any) -> dict[str, Any]:
    return {"id": "q1", "request": REQUEST, "teacher": {"content": "delivery"}, **changes}


def _write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _read_one(folder: Path, **changes: Any) -> StreamRow:
    (row,) = read_stream(_write(folder / "stream.jsonl", _row(**changes)))
    return row


def _message_of(path: Path) -> str:
    with pytest.raises(StreamError) as caught:
        read_stream(path)
    return str(caught.value)


def test_the_least_that_a_row_holds(tmp_path: Path) -> None:
    assert _read_one(tmp_path) == StreamRow(
        id="q1",
        workload=None,
        body={"model": "auto", **REQUEST},
        teacher=RecordedAnswer(answer=Answer(content="delivery")),
        student=None,
        gold=None,
    )


def test_everything_that_a_row_may_hold(tmp_path: Path) -> None:
    row = _read_one(
        tmp_path,
        workload="support",
        request={**REQUEST, "model": "big-70b", "temperature": 0},
        teacher={
            "content": "delivery",
            "usage": {
                "prompt_tokens": 7,
                "completion_tokens": 2,
                "prompt_tokens_details": {"cached_tokens": 3},
            },
            "cost_usd": 5.1128e-06,
            "latency_ms": 567,
            "correct": True,
            "model": "gpt-4",
        },
        student={
            "content": "billing",
            "usage": {"prompt_tokens": None, "completion_tokens": 1},
            "cost_usd": None,
            "latency_ms": None,
            "correct": False,
            "evidence": {"mean_logprob": -0.25, "p_true_logprob": None},
        },
        gold="delivery",
    )
    assert row == StreamRow(
        id="q1",
        workload="support",
        body={**REQUEST, "model": "big-70b", "temperature": 0},
        teacher=RecordedAnswer(
            answer=Answer(content="delivery"),
            usage=Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=3),
            cost_usd=Decimal("0.0000051128"),
            latency_ms=567.0,
            correct=True,
            model="gpt-4",
        ),
        student=RecordedAnswer(
            answer=Answer(content="billing"), correct=False, evidence={"mean_logprob": -0.25}
        ),
        gold="delivery",
    )


def test_what_is_for_scoring_never_enters_the_request(tmp_path: Path) -> None:
    row = _read_one(
        tmp_path, gold="SECRET", intent="SECRET", teacher={"content": "x", "label": "SECRET"}
    )
    assert row.gold == "SECRET"
    assert "SECRET" not in repr((row.body, row.teacher, row.student, row.workload))


def test_a_model_of_null_is_as_good_as_none(tmp_path: Path) -> None:
    assert _read_one(tmp_path, request={**REQUEST, "model": None}).body["model"] == "auto"


@pytest.mark.parametrize("name", ["stream.jsonl", "stream.jsonl.gz", "stream"])
@pytest.mark.parametrize("packed", [False, True])
def test_compression_is_seen_in_the_content(tmp_path: Path, name: str, packed: bool) -> None:
    lines = (json.dumps(_row()) + "\n").encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(lines) if packed else lines)
    assert [row.id for row in read_stream(path)] == ["q1"]


def test_blank_lines_and_a_missing_last_line_end_do_not_count(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_text(f"\n{json.dumps(_row())}\n \n{json.dumps(_row(id='q2'))}", encoding="utf-8")
    assert [row.id for row in read_stream(path)] == ["q1", "q2"]


def test_nothing_behind_the_limit_is_read(tmp_path: Path) -> None:
    path = _write(tmp_path / "stream.jsonl", _row(), _row(id="q2"), {"broken": True})
    assert [row.id for row in read_stream(path, limit=2)] == ["q1", "q2"]
    with pytest.raises(StreamError, match="line 3"):
        read_stream(path, limit=3)


def test_tool_calls_in_openais_shape(tmp_path: Path) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    row = _read_one(tmp_path, teacher={"tool_calls": [call], "tool_calls_text": '[{"g": "{}"}]'})
    assert row.teacher.answer == Answer(
        content=None, tool_calls=(ToolCall(name="f", arguments='{"a": 1}', id="c1"),)
    )


def test_tool_calls_as_text_are_those_of_the_offered_tools(tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "geo.find", "parameters": {}}}
    answers = {
        "teacher": {"content": None, "tool_calls_text": '[{"geo_find": "{\\"at\\":1}"}]'},
        "student": {"content": None, "tool_calls_text": '"I can\'t."'},
    }
    row = _read_one(tmp_path, request={**REQUEST, "tools": [tool]}, **answers)
    assert row.teacher.answer == Answer(
        content=None, tool_calls=(ToolCall(name="geo.find", arguments='{"at":1}'),)
    )
    assert row.student is not None
    assert row.student.answer == Answer(content="I can't.")


@pytest.mark.parametrize(
    "text",
    [
        '[{"geo_find": "{\\"at\\": 1}"}]',
        '[{"geo.find": {"at": 1}}]',
        '[{"name": "geo.find", "arguments": {"at": 1}}]',
        '[{"name": "geo.find", "parameters": {"at": 1}}]',
        '{"name": "geo.find", "arguments": {"at": 1}}',
        '[{"type": "function", "function": {"name": "geo.find", "arguments": "{\\"at\\": 1}"}}]',
        '"\\n{\\"tool_calls\\": [{\\"name\\": \\"geo.find\\", \\"arguments\\": {\\"at\\": 1}}]}"',
        "[geo.find(at=1)]",
        '"geo_find(at=1)"',
    ],
)
def test_one_call_in_every_known_writing(text: str) -> None:
    assert read_calls_text(text, TOOLS) == (ToolCall(name="geo.find", arguments='{"at": 1}'),)


def test_several_calls_keep_their_order() -> None:
    calls = read_calls_text('[sum_up(of=[1, 2], exact=True), geo.find(at="x")]', TOOLS)
    assert calls == (
        ToolCall(name="sum_up", arguments='{"of": [1, 2], "exact": true}'),
        ToolCall(name="geo.find", arguments='{"at": "x"}'),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("There is no such tool.", "There is no such tool."),
        ('"\\n\\"There is none.\\""', "There is none."),
        ('{"answer": "yes"}', '{"answer": "yes"}'),
        ("[1, 2]", "[1, 2]"),
        ("42", "42"),
        ("[print(of=1)]", "[print(of=1)]"),  # not offered
        ("[sum_up(1)]", "[sum_up(1)]"),
        ("[sum_up(**{})]", "[sum_up(**{})]"),
        ("[sum_up(of={1})]", "[sum_up(of={1})]"),  # a set is no JSON
        ("[sum_up(of=f())]", "[sum_up(of=f())]"),
        ('[{"name": "sum_up"}]', '[{"name": "sum_up"}]'),
        (
            '[{"name": "sum_up", "arguments": {"of": 1}',
            '[{"name": "sum_up", "arguments": {"of": 1}',
        ),
    ],
)
def test_a_text_that_is_no_call_is_what_was_said(text: str, said: str) -> None:
    assert read_calls_text(text, TOOLS) == said


def test_words_that_python_would_warn_of_stay_words() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert read_calls_text("'\\d' is 5", TOOLS) == "'\\d' is 5"
    assert caught == []


def test_an_empty_list_is_no_call_and_no_words() -> None:
    assert read_calls_text('"\\n[]"', TOOLS) == ()


def test_an_exact_name_wins_and_an_unknown_one_stays() -> None:
    both = read_calls_text('[{"a_b": "{}"}, {"a.b": "{}"}, {"x.y": "{}"}]', TOOLS)
    assert [call.name for call in both if isinstance(call, ToolCall)] == ["a_b", "a.b", "x.y"]


def test_a_name_that_two_tools_would_have_is_not_guessed() -> None:
    calls = read_calls_text('[{"a_b": "{}"}]', frozenset({"a.b", "a-b", "a b"}))
    assert calls == (ToolCall(name="a_b", arguments="{}"),)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not valid JSON"),
        ('{"id": "x", "id": "y"}', "given twice"),
        ('{"id": NaN}', "not valid JSON"),
        ("[]", "the line must be a JSON object, but it is []"),
        (json.dumps({"request": REQUEST, "teacher": {"content": "x"}}), "'id' is missing"),
        (json.dumps({"id": "x", "teacher": {"content": "x"}}), "'request' is missing"),
        (json.dumps({"id": "x", "request": REQUEST}), "'teacher' is missing"),
        (json.dumps(_row(id=7)), "'id' must be a string that isn't empty, but it is 7"),
        (json.dumps(_row(id="")), "'id' must be"),
        (json.dumps(_row(workload=["x"])), "'workload' must be"),
        (json.dumps(_row(request="x")), "'request' must be a JSON object"),
        (json.dumps(_row(request={})), "Missing required parameter: 'messages'"),
        (json.dumps(_row(request={"messages": "x"})), "Invalid type for 'messages'"),
        (json.dumps(_row(teacher="x")), "'teacher' must be a JSON object"),
        (json.dumps(_row(teacher={})), "'teacher.content' is missing"),
        (json.dumps(_row(student={"correct": True})), "'student.content' is missing"),
        (json.dumps(_row(teacher={"content": 7})), "'teacher.content' must be a string or null"),
        (json.dumps(_row(teacher={"tool_calls_text": []})), "'teacher.tool_calls_text' must be"),
        (json.dumps(_row(teacher={"tool_calls": {}})), "'teacher.tool_calls' must be a list"),
        (json.dumps(_row(teacher={"tool_calls": [{"a": 1}]})), "must hold calls like"),
        (json.dumps(_row(teacher={"content": "x", "correct": 1})), "'teacher.correct' must be"),
        (json.dumps(_row(teacher={"content": "x", "model": 1})), "'teacher.model' must be"),
        (json.dumps(_row(teacher={"content": "x", "cost_usd": "1"})), "'teacher.cost_usd' must be"),
        (json.dumps(_row(teacher={"content": "x", "cost_usd": -1})), "at least 0, but it is -1"),
        (json.dumps(_row(teacher={"content": "x", "cost_usd": 1e9})), "is no amount of money"),
        (json.dumps(_row(teacher={"content": "x", "cost_usd": True})), "but it is true"),
        (json.dumps(_row(teacher={"content": "x", "latency_ms": -1})), "'teacher.latency_ms' must"),
        (json.dumps(_row(teacher={"content": "x", "latency_ms": 10**400})), "milliseconds"),
        (json.dumps(_row(teacher={"content": "x", "usage": 3})), "'teacher.usage' must be"),
        (
            json.dumps(
                _row(
                    teacher={
                        "content": "x",
                        "usage": {"prompt_tokens": 1.5, "completion_tokens": 1},
                    }
                )
            ),
            "'teacher.usage' must count tokens",
        ),
        (
            json.dumps(_row(student={"content": "x", "evidence": {"margin": "big"}})),
            "'student.evidence.margin' must be a number or null",
        ),
        (json.dumps(_row()), "the id 'q1' was given in line 1 already"),
    ],
)
def test_a_bad_line_is_named_with_its_fault(tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_text(f"{json.dumps(_row())}\n\n{line}\n", encoding="utf-8")
    message = _message_of(path)
    assert message.startswith(f"{path}, line 3: ")
    assert says in message
    assert message.endswith(".")
    assert "\n" not in message


def test_bytes_that_are_no_text_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(b'{"id": "\xff"}\n')
    assert _message_of(path) == f"{path}, line 1: it is not valid UTF-8."


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", gzip.compress(b"")], ids=["nothing", "blank lines", "packed nothing"]
)
def test_a_stream_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stream.jsonl"
    path.write_bytes(content)
    assert "holds no row" in _message_of(path)


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    assert "does not exist" in _message_of(tmp_path / "nothing.jsonl")
    assert "is a directory" in _message_of(tmp_path)


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    noise = random.Random(0)
    rows = [_row(id=f"q{i}", gold=noise.randbytes(40).hex()) for i in range(500)]
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    for name, damaged in {
        "cut": whole[: len(whole) // 2],
        "changed": whole[:200] + bytes(100) + whole[300:],
        "checksum": whole[:-8] + bytes(8),
        "header": b"\x1f\x8bnothing of the kind",
    }.items():
        path = tmp_path / name
        path.write_bytes(damaged)
        message = _message_of(path)
        assert message.startswith(f"{path}, line "), name
        assert "damaged or cut short" in message or "JSON" in message, name


def test_every_stream_at_hand_can_be_read() -> None:
    data = os.environ.get("TUTELAGE_DATA")
    if data is None:
        pytest.skip("set TUTELAGE_DATA to a folder that has recorded streams in streams/")
    paths = sorted((Path(data) / "streams").glob("*.jsonl*"))
    assert paths, f"{data} has no streams"
    for path in paths:
        rows = read_stream(path)
        answers = [row.teacher.answer for row in rows]
        assert all(answer.content or answer.tool_calls for answer in answers), path
