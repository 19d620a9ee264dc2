"""Orders in which a recorded stream is replayed: as it is, shuffled, and shifted.

Everything is drawn from the generator passed in. What a shift changes is what the teacher says, or
which queries come when; a row's request is its own, except for queries spliced in from elsewhere,
which are asked under the stream's own instructions so that they belong to its workload.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

Row = dict[str, Any]
Rows = list[Row]

STREAMS = (
    "banking77-gpt4",
    "banking77-deepseek-train",
    "invoices-train",
    "gsm8k-gpt4-traces",
    "support-replies",
)
"""Those without a recorded student, below ``streams/`` of the data folder."""

_OTHER_TEACHER: Mapping[str, str] = MappingProxyType(
    {
        "banking77-gpt4": "banking77-deepseek-train",
        "banking77-deepseek-train": "banking77-gpt4",
    }
)
_FOREIGN = "clinc150_full_oos.csv"
_GROUPS = ("layout", "intent")
"""Keys of a row that name what kind of query it is; else its answer does."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A stream's rows as recorded; ``other``: of another teacher to the same kind of queries, empty
    where there is none; ``foreign``: queries of another data set with their gold labels for the
    teacher's answers, under the stream's instructions."""

    rows: Rows
    other: Rows
    foreign: Rows


def read_source(data: Path, stream: str) -> Source:
    """Raises OSError for a file that isn't there."""
    rows = _read_rows(data, stream)
    other = _OTHER_TEACHER.get(stream)
    with (data / _FOREIGN).open(encoding="utf-8", newline="") as file:
        foreign = [
            _ask_elsewhere(rows[0], f"foreign-{i}", line["text"], line["label"])
            for i, line in enumerate(csv.DictReader(file))
        ]
    return Source(
        rows=rows, other=[] if other is None else _read_rows(data, other), foreign=foreign
    )


def limited(source: Source, limit: int | None, draw: random.Random) -> Source:
    """At most ``limit`` of the stream's own rows, drawn at random, in the recorded order."""
    if limit is None or limit >= len(source.rows):
        return source
    kept = sorted(draw.sample(range(len(source.rows)), limit))
    rows = [source.rows[i] for i in kept]
    return Source(rows=rows, other=source.other, foreign=source.foreign)


def recorded(source: Source, draw: random.Random) -> Rows:
    """As recorded; only coins and choices differ between seeds."""
    return source.rows


def shuffled(source: Source, draw: random.Random) -> Rows:
    """No shift."""
    return _mix(source.rows, draw)


def new_intents(source: Source, draw: random.Random) -> Rows:
    """Half of the answers, intents or layouts don't occur before the middle."""
    rows = source.rows
    groups = sorted({_group(row) for row in rows})
    late = set(draw.sample(groups, len(groups) // 2))
    old = [row for row in _mix(rows, draw) if _group(row) not in late]
    first = old[: len(rows) // 2]
    early = {row["id"] for row in first}
    return first + [row for row in _mix(rows, draw) if row["id"] not in early]


def by_length(source: Source, draw: random.Random) -> Rows:
    """Short questions first, long ones last."""
    return sorted(_mix(source.rows, draw), key=lambda row: len(json.dumps(row["request"])))


def spliced(source: Source, draw: random.Random) -> Rows:
    """From the middle on another data set, in the same workload."""
    rows = _mix(source.rows, draw)
    half = len(rows) // 2
    return rows[:half] + _mix(source.foreign, draw)[: len(rows) - half]


def other_teacher(source: Source, draw: random.Random) -> Rows:
    """From the middle on the same kind of queries, answered by another model; none: no rows."""
    rows = _mix(source.rows, draw)
    half = len(rows) // 2
    return rows[:half] + _mix(source.other, draw)[: len(rows) - half] if source.other else []


def teacher_swapped(source: Source, draw: random.Random) -> Rows:
    """From the middle on a third of the answers are called by another one's name."""
    labels = sorted({_label(row) for row in source.rows})
    moved = draw.sample(labels, len(labels) // 3)
    names = dict(zip(moved, moved[1:] + moved[:1], strict=True))
    rows = _mix(source.rows, draw)
    half = len(rows) // 2
    return rows[:half] + [_relabel(r, names.get(_label(r), _label(r))) for r in rows[half:]]


def noise_rising(source: Source, draw: random.Random) -> Rows:
    """The teacher answers at random more and more often, up to one time in five."""
    labels = sorted({_label(row) for row in source.rows})
    rows = _mix(source.rows, draw)
    return [
        _relabel(row, draw.choice(labels)) if draw.random() < 0.2 * i / len(rows) else row
        for i, row in enumerate(rows)
    ]


ORDERS: Mapping[str, Callable[[Source, random.Random], Rows]] = MappingProxyType(
    {
        "shuffled": shuffled,
        "new-intents": new_intents,
        "by-length": by_length,
        "spliced": spliced,
        "other-teacher": other_teacher,
        "teacher-swapped": teacher_swapped,
        "noise-rising": noise_rising,
        "recorded": recorded,
    }
)


def _read_rows(data: Path, stream: str) -> Rows:
    with gzip.open(data / "streams" / f"{stream}.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _ask_elsewhere(like: Row, name: str, text: str, label: str) -> Row:
    kept = [message for message in like["request"]["messages"] if message["role"] == "system"]
    request = {**like["request"], "messages": [*kept, {"role": "user", "content": text}]}
    row = {"id": name, "request": request, "teacher": {"content": label}}
    return row | {"workload": like["workload"]} if "workload" in like else row


def _mix(rows: Rows, draw: random.Random) -> Rows:
    return draw.sample(rows, len(rows))


def _group(row: Row) -> str:
    return str(next((row[name] for name in _GROUPS if name in row), _label(row)))


def _label(row: Row) -> str:
    return str(row["teacher"]["content"])


def _relabel(row: Row, label: str) -> Row:
    return {**row, "teacher": {"content": label}}
