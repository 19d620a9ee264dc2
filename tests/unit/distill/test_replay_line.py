"""The line of one query: what is read off its record, and the trace that holds it."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from distill.replay.result import Line, TraceError, line_of, read_trace, write_trace
from distill.streams import RecordedAnswer, StreamRow
from policies.types import Answer, Tier, ToolCall
from router.record.model import Attempt, Interaction
from router.wire.openai import answer_to_json
from tests.unit.distill.replay_lines import BY_STUDENT, BY_TEACHER

TRACE_KEYS = (
    "id draft final tier asked background propensity score threshold agreed release cost_usd "
    "teacher_cost_usd correct teacher_correct reason workload"
)


def _row(
    teacher: str | Answer = "yes",
    student: RecordedAnswer | None = None,
    *,
    gold: Any = None,
    correct: bool | None = None,
    cost_usd: str | None = None,
) -> StreamRow:
    answer = Answer(content=teacher) if isinstance(teacher, str) else teacher
    return StreamRow(
        id="q7",
        workload=None,
        body={"model": "auto", "messages": [{"role": "user", "content": "?"}]},
        teacher=RecordedAnswer(
            answer=answer, correct=correct, cost_usd=None if cost_usd is None else Decimal(cost_usd)
        ),
        student=student,
        gold=gold,
    )


def _record(answer: str | Answer | None, tier: Tier, **changes: Any) -> Interaction:
    """An interaction in which ``tier`` delivered ``answer``; a student's is also the draft."""
    given_answer = Answer(content=answer) if isinstance(answer, str) else answer
    written = None if given_answer is None else answer_to_json(given_answer)
    record = Interaction(
        id="int_1",
        created_at=0.0,
        workload="w",
        tenant="",
        key_name="replay",
        train_ok=True,
        stored=True,
        stream=False,
        request=None,
        input_text="",
        group="",
        comparer="label",
        tier=tier,
        model=str(tier),
        reason="because",
        status="ok",
        answer=written,
        draft=written if tier is Tier.STUDENT else None,
        seen=tier is Tier.TEACHER,
    )
    return replace(record, **changes)


def _recorded(
    text: str, correct: bool | None = None, cost_usd: str | None = None
) -> RecordedAnswer:
    return RecordedAnswer(
        answer=Answer(content=text),
        correct=correct,
        cost_usd=None if cost_usd is None else Decimal(cost_usd),
    )


def test_a_line_of_what_the_teacher_answered() -> None:
    record = _record(
        "Yes.",
        Tier.TEACHER,
        draft=answer_to_json(Answer(content="no")),
        release="r1",
        confidence=0.25,
        threshold=float("inf"),
        propensity=0.05,
        cost_usd=Decimal("0.2"),
        teacher_cost_usd=Decimal("0.3"),
    )
    assert line_of(record, _row(gold="yes"), "label") == Line(
        id="q7",
        draft="no",
        final="Yes.",
        tier="teacher",
        asked=True,
        background=False,
        propensity=0.05,
        score=0.25,
        threshold=None,  # nothing reaches infinity, and JSON has none
        agreed=True,
        release="r1",
        cost_usd=Decimal("0.2"),
        teacher_cost_usd=Decimal("0.3"),
        correct=True,
        teacher_correct=True,
        reason="because",
        workload="w",
    )


def test_a_served_draft_agrees_as_the_comparer_says() -> None:
    alike = line_of(_record("YES", Tier.STUDENT), _row("yes"), "label")
    assert (alike.agreed, alike.asked, alike.background) == (True, False, False)
    assert (alike.draft, alike.final, alike.tier) == ("YES", "YES", "student")
    assert not line_of(_record("YES", Tier.STUDENT), _row("yes"), "text").agreed


def test_the_teachers_own_answer_agrees_even_if_it_cannot_be_compared() -> None:
    empty = Answer(content=None)
    assert line_of(_record(empty, Tier.TEACHER), _row(empty), "label").agreed
    assert not line_of(_record(empty, Tier.STUDENT), _row(empty), "label").agreed


def test_an_audit_is_a_call_in_the_background() -> None:
    call = Attempt(
        interaction_id="int_1",
        n=0,
        tier=Tier.TEACHER,
        model="teacher",
        purpose="audit",
        started_at=0.0,
        latency_ms=1.0,
    )
    audited = line_of(_record("no", Tier.STUDENT, seen=True), _row(), "label")
    failed = line_of(_record("no", Tier.STUDENT, attempts=(call,)), _row(), "label")
    for line in (audited, failed):
        assert (line.asked, line.background, line.agreed) == (True, True, False)


def test_a_failed_interaction_delivered_nothing() -> None:
    line = line_of(_record(None, Tier.TEACHER, status="error"), _row(gold="yes"), "label")
    assert (line.final, line.agreed, line.correct, line.teacher_correct) == (
        None,
        False,
        None,
        True,
    )


def test_an_answer_with_calls_is_written_as_its_message() -> None:
    answer = Answer(content=None, tool_calls=(ToolCall(name="f", arguments="{}", id="c1"),))
    line = line_of(_record(answer, Tier.TEACHER), _row(answer), "tool_calls")
    assert json.loads(line.final or "") == {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }


@pytest.mark.parametrize(
    ("answer", "row", "comparer", "expected"),
    [
        ("no", _row("yes", gold="no"), "label", (True, False)),
        ("no", _row("yes", gold="yes"), "label", (False, True)),
        ("no", _row("yes"), "label", (None, None)),
        # The verdict on the very answer comes first.
        ("no", _row("yes", _recorded("no", True), correct=False), "label", (True, False)),
        ("No", _row("yes", _recorded("no", True), gold="x"), "label", (False, False)),
        # As right as the teacher's it agrees with.
        ("YES", _row("yes", correct=True), "label", (True, True)),
        ("no", _row("yes", correct=True), "label", (None, True)),
        # Gold in another form than answers says nothing about them.
        ("so it is 19", _row("so it is 18", gold="18", correct=True), "text", (None, True)),
        ("19", _row("18", gold="18", correct=True), "text", (False, True)),
        ("x", _row("y", gold=["x", "z"]), "label", (None, None)),
        ("x", _row("y", gold=True), "label", (None, None)),
        ("x", _row("y", gold="about five"), "number", (None, None)),
        ("18", _row("18.5", gold=18), "number", (True, False)),
        ('{"a": 1}', _row('{"a": 2}', gold={"a": 1}), "json", (True, False)),
        ("x", _row("y", gold="x"), "tool_calls", (None, None)),
    ],
)
def test_who_is_right(
    answer: str, row: StreamRow, comparer: str, expected: tuple[bool | None, bool | None]
) -> None:
    line = line_of(_record(answer, Tier.STUDENT), row, comparer)
    assert (line.correct, line.teacher_correct) == expected


def test_a_stream_without_prices_leaves_the_costs_to_the_configuration() -> None:
    record = _record("no", Tier.STUDENT, cost_usd=Decimal("0.1"), teacher_cost_usd=Decimal("0.4"))
    line = line_of(record, _row(), "label")
    assert (line.cost_usd, line.teacher_cost_usd) == (Decimal("0.1"), Decimal("0.4"))


@pytest.mark.parametrize(
    ("record", "student", "cost_usd"),
    [
        (_record("no", Tier.STUDENT), None, "0"),
        (_record("no", Tier.STUDENT), _recorded("no", cost_usd="0.1"), "0.1"),
        (_record("no", Tier.STUDENT, seen=True), _recorded("no", cost_usd="0.1"), "0.6"),
        (_record("no", Tier.STUDENT), _recorded("no"), None),
        (_record("yes", Tier.TEACHER), _recorded("no", cost_usd="0.1"), "0.5"),
        (
            _record("yes", Tier.TEACHER, draft=answer_to_json(Answer(content="no"))),
            _recorded("no", cost_usd="0.1"),
            "0.6",
        ),
    ],
)
def test_a_stream_with_prices_prices_what_was_called(
    record: Interaction, student: RecordedAnswer | None, cost_usd: str | None
) -> None:
    priced = replace(record, cost_usd=Decimal(9), teacher_cost_usd=Decimal(9))
    line = line_of(priced, _row("yes", student, cost_usd="0.5"), "label")
    assert line.cost_usd == (None if cost_usd is None else Decimal(cost_usd))
    assert line.teacher_cost_usd == Decimal("0.5")


def test_the_trace_has_the_promised_keys_in_order_and_exact_money(tmp_path: Path) -> None:
    line = replace(
        BY_STUDENT,
        final="two\nlines\u2028é\ud800",
        cost_usd=Decimal("1234567.000000000001"),
        teacher_cost_usd=Decimal("0E-12"),
    )
    path = tmp_path / "trace.jsonl"
    write_trace([line, BY_TEACHER], path)
    text = path.read_text(encoding="utf-8")
    assert [" ".join(json.loads(each)) for each in text.splitlines()] == [TRACE_KEYS] * 2
    assert '"cost_usd": 1234567.000000000001,' in text
    assert read_trace(path) == [line, BY_TEACHER]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "it is not valid JSON"),
        ("[]", "it is no JSON object"),
        ("{}", "'id' is missing"),
        (json.dumps({**dict.fromkeys(TRACE_KEYS.split(), ""), "asked": 1}), "'asked' has a value"),
        (json.dumps({**dict.fromkeys(TRACE_KEYS.split()), "id": "q"}), "'tier' has a value"),
    ],
)
def test_what_is_no_trace_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "trace.jsonl"
    write_trace([BY_TEACHER], path)
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}, line 2: {says}")


def test_a_trace_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="can't be written"):
        write_trace([], tmp_path)
    with pytest.raises(TraceError, match="can't be read"):
        read_trace(tmp_path / "nothing")
