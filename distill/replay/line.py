"""One query of a replay: what was answered, by whom, at what cost, and whether it was right.

A trace is a file of such lines. None means unknown, never zero.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from distill.streams import StreamRow
from policies.compare import Comparer, get_comparer
from policies.types import Answer, Shape, Tier
from router.errors import TutelageError
from router.meter.money import plain_usd
from router.record.model import Interaction
from router.wire.openai import answer_from_json, completion_from_answer, shape_of


class TraceError(TutelageError):
    """A trace can't be written, or is none; the sentence names the file and the line."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One query of a replay, and one line of its trace; the fields stand in the trace's order.

    ``draft``, ``final``: the text of the student's and of the delivered answer, or the JSON of the
    message where it holds more than text; None where there is none. ``asked``: the teacher was
    called, before the answer or in the ``background``. ``propensity``: the probability with which
    the teacher's answer became, or would have become, known. ``score``, ``threshold``: the draft's
    confidence and what it was held against; None also where the threshold is out of reach.
    ``agreed``: the delivered answer agrees with the teacher's. ``release``: the one that drafted.
    ``teacher_cost_usd``: what asking the teacher costs, asked or not. ``correct``,
    ``teacher_correct``: whether the delivered and the teacher's answer are right. ``slices``: of
    its workload, those that it belongs to; ``pool``: the one that the query was evidence for. Both
    are only written where there are any.
    """

    id: str
    draft: str | None
    final: str | None
    tier: str
    asked: bool
    background: bool
    propensity: float
    score: float | None
    threshold: float | None
    agreed: bool
    release: str | None
    cost_usd: Decimal | None
    teacher_cost_usd: Decimal | None
    correct: bool | None
    teacher_correct: bool | None
    reason: str
    workload: str
    slices: tuple[str, ...] = ()
    pool: str = ""


_NAMES: Final = tuple(field.name for field in fields(Line))
_MONEY: Final = frozenset({"cost_usd", "teacher_cost_usd"})
_NUMBERS: Final = frozenset({"propensity", "score", "threshold"}) | _MONEY
_FLAGS: Final = frozenset({"asked", "background", "agreed", "correct", "teacher_correct"})
_IF_ANY: Final = frozenset({"slices", "pool"})
_OPTIONAL: Final = frozenset({"draft", "final", "release", "correct", "teacher_correct"}) | (
    _NUMBERS - {"propensity"}
)


def line_of(
    record: Interaction,
    row: StreamRow,
    comparer: str,
    slices: Sequence[str] = (),
    pools: Mapping[str, str] = MappingProxyType({}),
) -> Line:
    """The line of a settled interaction that was this row's query.

    ``pools``: by workload, which its evidence went to.

    The record must hold the answers as they were delivered: stored, and not redacted. An answer
    that the teacher delivered agrees by definition, also where the comparer can't compare it; a
    failed interaction delivered nothing and agrees with nothing. See ``_Judge`` for ``correct``
    and ``_cost_of`` for the cost. Raises ValueError for a comparer or an answer that is none.
    """
    shape = shape_of(row.body)
    judge = _Judge(comparer=get_comparer(comparer), shape=shape, row=row)
    draft = None if record.draft is None else answer_from_json(record.draft)
    delivered = None if record.answer is None else answer_from_json(record.answer)
    by_teacher = record.tier is Tier.TEACHER
    called = any(attempt.tier is Tier.TEACHER for attempt in record.attempts)
    asked = by_teacher or record.seen or called
    if delivered is None:
        agreed, correct = False, None
    elif by_teacher:
        agreed, correct = True, judge.teacher()
    else:
        agreed, correct = judge.agrees(delivered), judge.delivered(delivered)
    teacher_cost_usd = row.teacher.cost_usd
    if teacher_cost_usd is None:
        teacher_cost_usd = record.teacher_cost_usd
    return Line(
        id=row.id,
        draft=_write_answer(draft, row.id),
        final=_write_answer(delivered, row.id),
        tier=str(record.tier),
        asked=asked,
        background=asked and not by_teacher,
        # A draft that nobody was to check has no floor of its own: it had no chance to be known.
        propensity=record.propensity if asked or record.propensity < 1.0 else 0.0,
        score=_finite(record.confidence),
        threshold=_finite(record.threshold),
        agreed=agreed,
        release=record.release,
        cost_usd=_cost_of(record, row, asked),
        teacher_cost_usd=teacher_cost_usd,
        correct=correct,
        teacher_correct=judge.teacher(),
        reason=record.reason,
        workload=record.workload,
        slices=tuple(slices),
        pool="" if record.level is None else pools.get(record.workload, ""),
    )


def judge_teacher(row: StreamRow, comparer: str) -> bool | None:
    """Whether the teacher's answer is right, as far as the stream knows. Raises ValueError for a
    comparer that is none."""
    judge = _Judge(comparer=get_comparer(comparer), shape=shape_of(row.body), row=row)
    return judge.teacher()


def find_right(row: StreamRow, comparer: str) -> str | None:
    """The key of the right answer, as far as the stream's gold tells it; None where it is unknown,
    or written in another form than answers are. Raises ValueError for a comparer that is none."""
    judge = _Judge(comparer=get_comparer(comparer), shape=shape_of(row.body), row=row)
    gold = _read_gold(row.gold, comparer)
    if gold is None or judge.teacher() is not judge.agrees(gold):
        return None
    return judge.comparer.key(gold, judge.shape)


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Whether answers to one query are right, as far as the stream knows.

    The verdict that was recorded on the very answer comes first, then comparing with gold. Gold
    that contradicts the recorded verdict on the teacher's answer is written in another form than
    answers are (a bare number beside a reasoning, say), and says nothing about others either.
    """

    comparer: Comparer
    shape: Shape
    row: StreamRow

    def agrees(self, delivered: Answer) -> bool:
        """Whether an answer agrees with the teacher's."""
        return self.comparer.agrees(self.row.teacher.answer, delivered, self.shape)

    def teacher(self) -> bool | None:
        """Whether the teacher's answer is right."""
        recorded = self.row.teacher.correct
        return self._against_gold(self.row.teacher.answer) if recorded is None else recorded

    def delivered(self, answer: Answer) -> bool | None:
        """Whether an answer that a student gave is right.

        Where the stream has no verdict on it, it is as right as the teacher's it agrees with.
        """
        student = self.row.student
        if (
            student is not None
            and student.correct is not None
            and _words_of(student.answer) == _words_of(answer)
        ):
            return student.correct
        if self.agrees(answer):
            return self.teacher()
        recorded = self.row.teacher.correct
        if recorded is not None and recorded is not self._against_gold(self.row.teacher.answer):
            return None
        return self._against_gold(answer)

    def _against_gold(self, answer: Answer) -> bool | None:
        gold = _read_gold(self.row.gold, self.comparer.name)
        if gold is None or self.comparer.key(gold, self.shape) is None:
            return None
        return self.comparer.agrees(gold, answer, self.shape)


def _read_gold(gold: Any, comparer: str) -> Answer | None:
    """Gold as an answer; None where it isn't one in the comparer's form (a list of labels, say)."""
    if gold is None or comparer == "tool_calls":
        return None
    if isinstance(gold, str):
        return Answer(content=gold)
    if comparer == "json" or (isinstance(gold, int | float) and not isinstance(gold, bool)):
        return Answer(content=json.dumps(gold))
    return None


def _words_of(answer: Answer) -> tuple[object, ...]:
    calls = tuple((call.name, call.arguments) for call in answer.tool_calls)
    return (answer.content, answer.refusal, calls)


def _write_answer(answer: Answer | None, row_id: str) -> str | None:
    """The text, or the JSON of the assistant message where there is more than text."""
    if answer is None or not (answer.tool_calls or answer.refusal):
        return None if answer is None else answer.content
    whole = completion_from_answer(answer, id=row_id, model="", created=0, usage=None)
    return json.dumps(whole["choices"][0]["message"])


def _cost_of(record: Interaction, row: StreamRow, asked: bool) -> Decimal | None:
    """USD of the interaction; None where a part of it is unknown.

    A stream that has the teacher's cost prices itself: the teacher where it was asked, and a draft
    where one was made (an embedded student's costs nothing). Elsewhere the record's cost counts,
    which comes from the configuration's prices.
    """
    if row.teacher.cost_usd is None:
        return record.cost_usd
    cost_usd = row.teacher.cost_usd if asked else Decimal(0)
    tried = {step["tier"] for step in record.trace if not step["commit"]}
    drafted = Tier.STUDENT in tried if Tier.RECALL in tried else record.draft is not None
    if not drafted or row.student is None:
        return cost_usd
    return None if row.student.cost_usd is None else cost_usd + row.student.cost_usd


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: a threshold that nothing can reach is written as none."""
    return value if value is not None and math.isfinite(value) else None


def write_trace(lines: Iterable[Line], path: Path) -> None:
    """One JSON object per line, money as exact decimals. Raises TraceError if it can't be written.

    Only ASCII is written, so that no reader takes an exotic line separator for a line's end.
    """
    try:
        with path.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(f"{_write_line(line)}\n" for line in lines)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TraceError(f"{path} can't be written ({reason}); name another file.") from None


def read_trace(path: Path) -> list[Line]:
    """What ``write_trace`` wrote; keys that are not known are passed over. Raises TraceError."""
    found = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, start=1):
                try:
                    found.append(_read_line(text))
                except ValueError as error:
                    raise TraceError(
                        f"{path}, line {number}: {error}; name a file that --trace wrote."
                    ) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TraceError(f"{path} can't be read ({reason}); name a readable file.") from None
    return found


def _write_line(line: Line) -> str:
    values = (
        (name, getattr(line, name)) for name in _NAMES if name not in _IF_ANY or getattr(line, name)
    )
    members = (
        f'"{name}": {plain_usd(value) if isinstance(value, Decimal) else json.dumps(value)}'
        for name, value in values
    )
    return "{" + ", ".join(members) + "}"


def _read_line(text: str) -> Line:
    """Raises ValueError, which says what is wrong, for anything else than a line."""
    try:
        value = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise ValueError("it is not valid JSON") from None
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    value = {"slices": [], "pool": ""} | value
    missing = [name for name in _NAMES if name not in value]
    if missing:
        raise ValueError(f"{missing[0]!r} is missing")
    return Line(**{name: _read_value(name, value[name]) for name in _NAMES})


def _read_value(name: str, value: Any) -> Any:
    if value is None and name in _OPTIONAL:
        return None
    if name == "slices":
        fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    elif name in _FLAGS:
        fits = isinstance(value, bool)
    elif name in _NUMBERS:
        fits = isinstance(value, int | Decimal) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str)
    if not fits:
        raise ValueError(f"{name!r} has a value of the wrong type")
    if name == "slices":
        return tuple(value)
    if name in _MONEY:
        return Decimal(value)
    return float(value) if name in _NUMBERS else value
