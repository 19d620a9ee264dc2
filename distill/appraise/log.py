"""A log of answered requests, in any of three forms, as rows that a replay reads.

OpenAI's own shapes, a JSON line each: ``{"request": {…}, "response": {chat completion}}`` (also
``body`` for ``request``, a response wrapped in ``{"body": …}`` as batches have it, and a time in
``timestamp`` or ``created_at`` where it isn't the completion's ``created``); a recorded stream
(``distill.streams``); or a gateway's own SQLite store.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.logs import read_time, unwrap
from distill.streams import (
    RecordedAnswer,
    RowFault,
    StreamError,
    StreamRow,
    numbered_lines,
    read_row,
)
from router.record.model import Interaction
from router.record.store import Store
from router.settings.model import Settings
from router.wire.openai import answer_from_json, system_prompt
from router.wire.strict_json import JsonError, load_json
from router.workload import find_workload

_SQLITE_MAGIC = b"SQLite format 3\x00"
_MOST_RECORDS = 1_000_000
_SHOWN_CHARS = 80
_TIMES = ("timestamp", "created_at", "time")


@dataclass(frozen=True, kw_only=True)
class Logged:
    """One answered request; ``at_s``: Unix time in seconds, None where the log doesn't say."""

    row: StreamRow
    at_s: float | None


@dataclass(frozen=True, kw_only=True)
class Log:
    """What was read, oldest first where the log has times. ``skipped``: lines that hold no answer
    to learn from, by reason; ``labels``: how to call each workload to a reader."""

    name: str
    entries: Sequence[Logged]
    skipped: Mapping[str, int]
    labels: Mapping[str, str]

    @property
    def span_s(self) -> float | None:
        """Seconds from the first to the last entry; None unless every entry has a time."""
        times = [entry.at_s for entry in self.entries if entry.at_s is not None]
        if not times or len(times) < len(self.entries):
            return None
        return max(times) - min(times)


def read_log(path: Path, settings: Settings) -> Log:
    """Every answered request of a log, each in a workload: the configuration's, else one for each
    task profile. Raises StreamError for a file that can't be read or that has a broken line."""
    skipped: Counter[str] = Counter()
    if _is_store(path):
        store = Store.open(f"sqlite:///{path}")
        try:
            return read_records(store, path.name, settings)
        finally:
            store.close()
    return _arrange(list(_read_lines(path, skipped)), path.name, skipped, settings)


def read_records(store: Store, name: str, settings: Settings) -> Log:
    """The same of an open store, called ``name``."""
    skipped: Counter[str] = Counter()
    return _arrange(list(_read_store(store, skipped)), name, skipped, settings)


def _arrange(found: list[Logged], name: str, skipped: Mapping[str, int], settings: Settings) -> Log:
    if not found:
        raise StreamError(f"{name} holds no answered chat completion to appraise.")
    if all(entry.at_s is not None for entry in found):
        found.sort(key=lambda entry: entry.at_s or 0.0)
    labels: dict[str, str] = {}
    entries = [_place(entry, settings, labels) for entry in found]
    return Log(name=name, entries=entries, skipped=dict(skipped), labels=labels)


def _is_store(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    except OSError:
        return False  # the reader of lines says what is wrong


def _place(entry: Logged, settings: Settings, labels: dict[str, str]) -> Logged:
    body, named = entry.row.body, entry.row.workload
    workload, configured = find_workload(settings, body, named, "")
    if workload not in labels:
        instructions = " ".join(system_prompt(body).split())
        shown = instructions[:_SHOWN_CHARS] + ("…" if len(instructions) > _SHOWN_CHARS else "")
        plain = named is not None or configured is not None
        labels[workload] = workload if plain else shown or "requests without instructions"
    return replace(entry, row=replace(entry.row, workload=workload))


def _read_lines(path: Path, skipped: Counter[str]) -> Iterator[Logged]:
    ids: set[str] = set()
    for number, line in numbered_lines(path):
        try:
            entry = _read_line(line, number, skipped)
        except RowFault as fault:
            raise StreamError(f"{path}, line {number}: {fault}.") from None
        if entry is None:
            continue
        if entry.row.id in ids:
            skipped["repeated id"] += 1
            continue
        ids.add(entry.row.id)
        yield entry


def _read_line(line: bytes, number: int, skipped: Counter[str]) -> Logged | None:
    """None for a line that is no answered chat completion, which is counted."""
    try:
        value = load_json(line)
    except JsonError as error:
        raise RowFault(f"it {str(error).replace('line 1 column', 'column')}") from None
    if not isinstance(value, dict):
        raise RowFault("it must be a JSON object")
    if "teacher" in value:
        return Logged(row=read_row(line), at_s=_find_time(value))
    request = unwrap(value.get("request", value.get("body")))
    response = unwrap(value.get("response"))
    if request is None or response is None:
        raise RowFault("it has no 'request' with a 'response', and no 'teacher' either")
    reason = _find_unfit(request, response)
    if reason is not None:
        skipped[reason] += 1
        return None
    message = dict(response["choices"][0]["message"])
    teacher = {
        **{key: message.get(key) for key in ("content", "tool_calls", "refusal")},
        "usage": response.get("usage"),
        "cost_usd": value.get("cost_usd"),
        "model": response.get("model"),
    }
    identity = value.get("id") or value.get("custom_id") or response.get("id") or f"line {number}"
    row = {"id": str(identity), "request": {**request, "stream": False}, "teacher": teacher}
    row |= {key: value[key] for key in ("workload", "gold") if key in value}
    at_s = _find_time(value)
    if at_s is None:
        at_s = read_time(response.get("created"))
    try:
        return Logged(row=read_row(json.dumps(row).encode()), at_s=at_s)
    except RowFault as fault:
        if "would be refused" not in str(fault):
            raise
        skipped["a request that the gateway would refuse"] += 1
        return None


def _find_unfit(request: Mapping[str, Any], response: Mapping[str, Any]) -> str | None:
    if not isinstance(request.get("messages"), list):
        return "no chat completion"
    if response.get("error"):
        return "an error instead of an answer"
    choices = response.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return "an error instead of an answer"
    if not isinstance(choices[0].get("message"), dict):
        return "no whole message: log answers, not chunks of streams"
    if len(choices) > 1:
        return "several choices"
    return None


def _find_time(value: Mapping[str, Any]) -> float | None:
    return next(
        (at for at in (read_time(value.get(key)) for key in _TIMES) if at is not None), None
    )


def _read_store(store: Store, skipped: Counter[str]) -> Iterator[Logged]:
    for record in reversed(store.latest(_MOST_RECORDS)):
        if record.request is None or record.teacher_answer is None:
            skipped["no stored request with an answer of the teacher"] += 1
            continue
        yield Logged(row=_row_of(record), at_s=record.created_at)


def _row_of(record: Interaction) -> StreamRow:
    known = None if record.teacher_cost_estimated else record.teacher_cost_usd
    teacher = RecordedAnswer(
        answer=answer_from_json(record.teacher_answer or {}),
        cost_usd=known,
        model=record.teacher_model,
    )
    return StreamRow(
        id=record.id,
        workload=record.workload,
        body={**(record.request or {}), "model": "auto"},
        teacher=teacher,
        student=None,
        gold=None,
    )
