"""How far a cycle is: told when a step begins, and not too often within one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from distill.steps import Steps, Stopped
from router.errors import StoreError


def never() -> bool:
    return False


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    def __init__(self) -> None:
        self.progress: list[dict[str, Any]] = []

    def __call__(self, detail: Mapping[str, Any]) -> None:
        self.progress.append(detail["progress"])


def test_each_step_is_told_and_within_it_once_a_second_at_most() -> None:
    clock, told = Clock(), Told()
    steps = Steps(told, never, clock)
    steps.begin("reading")
    clock.now += 0.25
    steps.begin("encoding")
    for done in range(1, 9):
        clock.now += 0.5
        steps.advance(done, 8)
    said = [(one["step"], one["name"], one["done"], one["total"]) for one in told.progress]
    assert said == [
        (1, "reading", None, None),
        (2, "encoding", None, None),
        *((2, "encoding", done, 8) for done in (2, 4, 6, 8)),
    ]
    assert {one["began_at"] for one in told.progress[1:]} == {100.25}
    assert {one["steps"] for one in told.progress} == {5}


def test_what_each_step_took_is_kept() -> None:
    clock = Clock()
    steps = Steps(Told(), never, clock)
    assert steps.taken() == []
    steps.begin("reading")
    clock.now += 1.5
    steps.begin("training")
    clock.now += 2.0
    assert steps.taken() == [
        {"name": "reading", "seconds": 1.5},
        {"name": "training", "seconds": 2.0},
    ]


def test_a_busy_store_stops_no_cycle() -> None:
    def refuse(detail: Mapping[str, Any]) -> None:
        raise StoreError("the store is locked")

    clock = Clock()
    steps = Steps(refuse, never, clock)
    steps.begin("reading")
    clock.now += 2.0
    steps.advance(1, 2)
    assert steps.taken() == [{"name": "reading", "seconds": 2.0}]


def test_who_wants_the_cycle_to_end_is_heard_between_two_steps() -> None:
    told, ended = Told(), False
    steps = Steps(told, lambda: ended)
    steps.begin("reading")
    ended = True
    with pytest.raises(Stopped):
        steps.advance(1, 2)
    with pytest.raises(Stopped):
        steps.begin("encoding")
    assert [one["name"] for one in told.progress] == ["reading"]
    assert [one["name"] for one in steps.taken()] == ["reading"]
