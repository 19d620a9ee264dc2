"""Recorded streams: queries with what a teacher, and maybe a student, answered to them.

One JSON object per line, plain or compressed with gzip, whatever the file is called:
``{"id", "workload"?, "request", "teacher": {"content", …}, "student"?, "gold"?, …}``. What is there
for scoring alone (``gold``, ``correct``) is kept apart from the request; keys that are not known
are left out altogether. None of it can reach a student.
"""

from __future__ import annotations

import ast
import gzip
import json
import math
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

from policies.types import Answer, ToolCall
from router.errors import BadRequest, TutelageError
from router.meter.money import usd
from router.meter.prices import Usage
from router.wire.openai import answer_from_message, parse_chat, shape_of
from router.wire.strict_json import JsonError, load_json, make_well_formed

_GZIP_MAGIC = b"\x1f\x8b"
_SAYS_SOMETHING = ("content", "tool_calls", "tool_calls_text", "refusal")
_NOT_IN_A_NAME = re.compile(r"[^a-zA-Z0-9_-]")
"""What OpenAI's API refuses in a tool's name; those who record against it write ``_`` instead."""


class StreamError(TutelageError):
    """A stream can't be read; the sentence names the file and, where there is one, the line."""


@dataclass(frozen=True, kw_only=True)
class RecordedAnswer:
    """What a model answered at the time, and what is known about it; None: not recorded.

    ``correct``: somebody's verdict, for scoring alone. ``evidence``: named measurements of a
    draft, such as ``mean_logprob``; empty where there are none.
    """

    answer: Answer
    usage: Usage | None = None
    cost_usd: Decimal | None = None
    latency_ms: float | None = None
    correct: bool | None = None
    model: str | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class StreamRow:
    """One query with its recorded answers.

    ``body``: the chat-completions request, checked as the gateway would, with a ``model``.
    ``gold``: the right answer as the stream has it, for scoring alone; None where unknown.
    """

    id: str
    workload: str | None
    body: Mapping[str, Any]
    teacher: RecordedAnswer
    student: RecordedAnswer | None
    gold: Any


class _Fault(ValueError):
    """What is wrong with one line; the reader adds the file and the line's number."""


def read_stream(path: Path, limit: int | None = None) -> list[StreamRow]:
    """The rows of a stream in order, at most ``limit`` of them; lines behind those are not read.

    Blank lines are passed over. Raises StreamError for a file that can't be read, that holds no
    row, or that has a line which is no row or repeats an id.
    """
    found: list[StreamRow] = []
    line_of_id: dict[str, int] = {}
    for number, line in islice(numbered_lines(path), limit):
        try:
            row = _read_row(line)
            if row.id in line_of_id:
                raise _Fault(
                    f"the id {row.id!r} was given in line {line_of_id[row.id]} already; "
                    "every row needs its own"
                )
        except _Fault as fault:
            raise StreamError(f"{path}, line {number}: {fault}.") from None
        line_of_id[row.id] = number
        found.append(row)
    if not found and limit != 0:
        raise StreamError(f"{path} holds no row; a stream is one JSON object per line.")
    return found


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Every line that isn't blank, with its number from 1."""
    number = 0
    try:
        with _opened(path) as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        raise StreamError(f"{path} does not exist; name a file of JSON lines.") from None
    except IsADirectoryError:
        raise StreamError(f"{path} is a directory; name a file of JSON lines.") from None
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise StreamError(
            f"{path}, line {number + 1}: the compressed data is damaged or cut short; "
            "fetch or make the file again."
        ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StreamError(f"{path} can't be read ({reason}); name a readable file.") from None


@contextmanager
def _opened(path: Path) -> Iterator[Iterable[bytes]]:
    # Windows says "permission denied" for a directory, which would mislead.
    if path.is_dir():
        raise IsADirectoryError
    with path.open("rb") as raw:
        if raw.peek(2)[:2] != _GZIP_MAGIC:
            yield raw
            return
        with gzip.GzipFile(fileobj=raw) as unpacked:
            yield unpacked


def _read_row(line: bytes) -> StreamRow:
    try:
        value = load_json(line)
    except JsonError as error:
        raise _Fault(f"it {str(error).replace('line 1 column', 'column')}") from None
    row = _need_object(value, "the line")
    for key in ("id", "request", "teacher"):
        if row.get(key) is None:
            raise _Fault(f"{key!r} is missing")
    body = _read_body(_need_object(row["request"], "'request'"))
    offered = frozenset(shape_of(body).tools)
    student = row.get("student")
    return StreamRow(
        id=_need_text(row["id"], "'id'"),
        workload=_optional_text(row.get("workload"), "'workload'"),
        body=body,
        teacher=_read_answer(row["teacher"], "teacher", offered),
        student=None if student is None else _read_answer(student, "student", offered),
        gold=row.get("gold"),
    )


def _read_body(request: Mapping[str, Any]) -> dict[str, Any]:
    body = {"model": "auto", **request}
    if body["model"] is None:
        body["model"] = "auto"
    try:
        parse_chat(json.dumps(body).encode())
    except BadRequest as error:
        raise _Fault(f"'request' would be refused: {error.message.rstrip('.')}") from None
    return body


def _read_answer(value: Any, who: str, offered: frozenset[str]) -> RecordedAnswer:
    recorded = _need_object(value, f"'{who}'")
    if not any(key in recorded for key in _SAYS_SOMETHING):
        raise _Fault(f"'{who}.content' is missing")
    usage = recorded.get("usage")
    correct = recorded.get("correct")
    if correct is not None and not isinstance(correct, bool):
        _refuse(f"'{who}.correct'", "true, false or null", correct)
    return RecordedAnswer(
        answer=_read_words(recorded, who, offered),
        usage=None if usage is None else _read_usage(usage, f"'{who}.usage'"),
        cost_usd=_read_cost(recorded.get("cost_usd"), f"'{who}.cost_usd'"),
        latency_ms=_read_latency(recorded.get("latency_ms"), f"'{who}.latency_ms'"),
        correct=correct,
        model=_optional_text(recorded.get("model"), f"'{who}.model'"),
        evidence=_read_evidence(recorded.get("evidence"), f"'{who}.evidence'"),
    )


def _read_words(recorded: Mapping[str, Any], who: str, offered: frozenset[str]) -> Answer:
    """The answer itself; ``tool_calls_text`` counts only where there are no ``tool_calls``."""
    for key in ("content", "refusal", "finish_reason", "tool_calls_text"):
        text = recorded.get(key)
        if text is not None and not isinstance(text, str):
            _refuse(f"'{who}.{key}'", "a string or null", text)
    calls = recorded.get("tool_calls")
    if calls is not None:
        _check_calls(calls, f"'{who}.tool_calls'")
    answer = answer_from_message(recorded, recorded.get("finish_reason"))
    written = recorded.get("tool_calls_text")
    if written is None or answer.tool_calls:
        return answer
    read = read_calls_text(written, offered)
    if isinstance(read, str):
        return answer if answer.content else replace(answer, content=read)
    return replace(answer, tool_calls=read)


def _check_calls(calls: Any, where: str) -> None:
    if not isinstance(calls, list):
        _refuse(where, "a list of calls", calls)
    for call in calls:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise _Fault(f'{where} must hold calls like {{"function": {{"name", "arguments"}}}}')


def read_calls_text(text: str, offered: frozenset[str]) -> tuple[ToolCall, ...] | str:
    """Tool calls that were recorded as text, or what was said where the text is none.

    Understood are, as they are or as a JSON string: a list of ``{NAME: arguments}``, of
    ``{"name", "arguments"}`` or of OpenAI's calls, an object with such a list as ``tool_calls``, a
    single call with ``name``, and Python's ``[NAME(key=value)]`` where every name is offered.
    Arguments are an object or its JSON text. A name stands for the tool of ``offered`` that has
    it, else for the only one that has it once everything but letters, digits, ``_`` and ``-`` is
    replaced by ``_``. An empty list is no call: ().
    """
    said = make_well_formed(text)
    value = _try_json(said)
    while isinstance(value, str):
        said = make_well_formed(value)
        value = _try_json(said)
    if isinstance(value, dict):
        value = value.get("tool_calls", [value] if "name" in value else None)
    if isinstance(value, list):
        calls = [_read_written_call(item, offered) for item in value]
        complete = tuple(call for call in calls if call is not None)
        return complete if len(complete) == len(calls) else said
    return _read_python_calls(said, offered) or said


def _try_json(text: str) -> Any:
    try:
        return load_json(text.encode())
    except JsonError:
        return None


def _read_written_call(item: Any, offered: frozenset[str]) -> ToolCall | None:
    if not isinstance(item, dict):
        return None
    identity = item.get("id")
    call = item["function"] if isinstance(item.get("function"), dict) else item
    if "name" in call:
        name, arguments = call["name"], call.get("arguments", call.get("parameters"))
    elif len(call) == 1:
        name, arguments = next(iter(call.items()))
    else:
        return None
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(name, str) or not isinstance(arguments, str):
        return None
    return ToolCall(
        name=_find_tool(make_well_formed(name), offered),
        arguments=make_well_formed(arguments),
        id=make_well_formed(identity) if isinstance(identity, str) else None,
    )


def _find_tool(name: str, offered: frozenset[str]) -> str:
    if name in offered:
        return name
    alike = [tool for tool in offered if _NOT_IN_A_NAME.sub("_", tool) == name]
    return alike[0] if len(alike) == 1 else name


def _read_python_calls(text: str, offered: frozenset[str]) -> tuple[ToolCall, ...]:
    """Calls in Python's syntax with named literal arguments; () where the text is not that."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of "\\d", say, in what is no Python
            expression = ast.parse(text.strip(), mode="eval").body
        nodes = expression.elts if isinstance(expression, ast.List) else [expression]
        calls = [_read_python_call(node, offered) for node in nodes]
    # A deep nesting runs out of the parser's stack, a NUL is a ValueError.
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return ()
    return tuple(calls)


def _read_python_call(node: ast.expr, offered: frozenset[str]) -> ToolCall:
    """Raises ValueError or TypeError for anything but such a call of an offered tool."""
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("not a call with named arguments")
    name = _find_tool(ast.unparse(node.func), offered)
    if name not in offered:
        raise ValueError("not a tool that was offered")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise ValueError("not a named argument")
        arguments[keyword.arg] = ast.literal_eval(keyword.value)
    return ToolCall(name=name, arguments=json.dumps(arguments, ensure_ascii=False, allow_nan=False))


def _read_usage(value: Any, where: str) -> Usage | None:
    """None where a count is not recorded, as some upstreams send it."""
    counts = _need_object(value, where)
    if counts.get("prompt_tokens") is None or counts.get("completion_tokens") is None:
        return None
    usage = Usage.from_openai(counts)
    if usage is None:
        raise _Fault(f"{where} must count tokens in whole numbers")
    return usage


def _read_cost(value: Any, where: str) -> Decimal | None:
    """USD at 12 places."""
    if value is None:
        return None
    if not _is_number(value) or value < 0:
        _refuse(where, "a number of USD, at least 0", value)
    try:
        return usd(value)
    except ValueError as error:
        raise _Fault(f"{where}: {error}") from None


def _read_latency(value: Any, where: str) -> float | None:
    if value is None:
        return None
    if not _is_number(value) or value < 0:
        _refuse(where, "a number of milliseconds, at least 0", value)
    return float(value)


def _read_evidence(value: Any, where: str) -> dict[str, float]:
    """Measurements by name; one that is null was not made and is left out."""
    if value is None:
        return {}
    measured: dict[str, float] = {}
    for name, figure in _need_object(value, where).items():
        if figure is None:
            continue
        if not _is_number(figure):
            _refuse(f"{where[:-1]}.{name}'", "a number or null", figure)
        measured[name] = float(figure)
    return measured


def _is_number(value: Any) -> bool:
    """Whether a float can hold it (a bool is an int in Python)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _need_object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, "a JSON object", value)
    return value


def _need_text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        _refuse(where, "a string that isn't empty", value)
    return make_well_formed(value)


def _optional_text(value: Any, where: str) -> str | None:
    return None if value is None else _need_text(value, where)


def _refuse(where: str, wanted: str, value: Any) -> NoReturn:
    shown = json.dumps(value)
    if len(shown) > 60:
        shown = shown[:60] + "…"
    raise _Fault(f"{where} must be {wanted}, but it is {shown}")
