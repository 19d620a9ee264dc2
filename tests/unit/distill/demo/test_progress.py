"""The progress of the demo's traffic, as far as its client can tell."""

from __future__ import annotations

from decimal import Decimal

import pytest

from distill.demo.progress import Progress
from distill.demo.shop import read_shop
from distill.demo.traffic import Received
from policies.types import Answer

ROWS = read_shop(20)


def got(i: int, tier: str | None, text: str | None, release: str | None = None) -> Received:
    return Received(
        i=i,
        streamed=False,
        ended_at=0.0,
        latency_ms=1.0,
        tier=tier,
        release=release,
        cost_usd=Decimal("0.0004") if tier == "teacher" else Decimal(0),
        answer=None if text is None else Answer(content=text),
        error=None if text is not None else "APITimeoutError: Request timed out.",
    )


def test_a_line_every_tenth_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(ROWS)
    for i in range(len(ROWS)):
        progress.tell(got(i, "teacher", "whatever it says"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == (
        " 2 of 20  lately asked 100%, $0.000400 each · since the start agreement 100.0%, 0 releases"
    )


def test_the_student_is_judged_by_the_teachers_recorded_answer() -> None:
    progress = Progress(ROWS)
    right = ROWS[0].teacher.answer.content or ""
    progress.tell(got(0, "student", right.upper(), "r1"))
    progress.tell(got(1, "student", "nonsense", "r1"))
    progress.tell(got(2, "teacher", "x"))
    progress.tell(got(3, None, None))
    told = (
        "lately asked  25%, $0.000100 each · since the start agreement  50.0%, 1 release, 1 failed"
    )
    assert progress.line() == f" 4 of 20  {told}"


def test_on_a_terminal_one_line_is_written_over(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    progress = Progress(ROWS)
    progress.tell(got(0, "teacher", "x"))
    shown = capsys.readouterr().err
    assert shown == f"\r{progress.line()[:39]}"
