"""What is counted over the runs of the matrix."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.promise.held import find_below, is_contradicted
from benchmarks.promise.matrix import print_summary
from tests.unit.distill.replay_lines import BY_STUDENT, BY_TEACHER

WRONG = replace(BY_STUDENT, agreed=False)
CLAIM = {"at_least": 0.6, "confidence": 0.95, "over": "all", "from": 0, "to": 4}


def test_a_claim_is_contradicted_by_the_lines_it_is_about() -> None:
    lines = [BY_TEACHER, BY_TEACHER, BY_STUDENT, WRONG]
    assert not is_contradicted([CLAIM], lines)
    assert is_contradicted([CLAIM | {"from": 2}], lines)
    assert is_contradicted([CLAIM, CLAIM | {"over": "served"}], lines)
    assert not is_contradicted([], [WRONG])


def test_the_first_moment_below_the_promise() -> None:
    assert find_below([BY_TEACHER, BY_STUDENT, WRONG, WRONG], 0.6) == 4
    assert find_below([BY_TEACHER] * 19 + [WRONG], 0.95) is None
    assert find_below([WRONG], 0.95) == 1


def make_row(**changes: Any) -> dict[str, Any]:
    row = {
        "stream": "s",
        "order": "shuffled",
        "kind": "certificate",
        "promise": 0.95,
        "seed": 0,
        "promise_held": True,
        "asked_rate": 0.5,
        "agreement": 0.97,
        "agreement_worst_window": None,
        "certified": [CLAIM],
        "contradicted": False,
        "below_from": None,
        "wrong_by_tenth": [0] * 10,
        "asked_by_tenth": [5] * 10,
        "commit": "abc",
    }
    return row | changes


def test_what_is_held_by_asking_everything_is_counted_apart(
    capsys: pytest.CaptureFixture[str],
) -> None:
    idle = make_row(seed=2, asked_rate=1.0, certified=[])
    broken = make_row(
        seed=1, promise_held=False, agreement=0.9, asked_rate=0.3, contradicted=True, below_from=7
    )
    print_summary([make_row(), broken, idle])
    said = capsys.readouterr().out
    assert "held 1 of 2, 0.500 [0.013, 0.987]" in said
    assert "asked 0.400; below the promise at some moment 1" in said
    assert "claims contradicted 1 of 2, 0.500 [0.013, 0.987] (allowed 0.050)" in said
    assert "asking 99% or more: 1" in said
    assert "not held: s shuffled certificate 0.95 seed 1: 0.9000, below from 7" in said
    print_summary([])
    assert capsys.readouterr().out == "no runs\n"
