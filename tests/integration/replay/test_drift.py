"""A teacher that changes its mind midway is noticed, told, and answered by asking it more."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.replay.streams import Run, make_stream, replay, write_config, write_stream

pytestmark = pytest.mark.long

COUNT = 1_000
HALF = 400
OTHER_NAMES = {"parcel": "delivery", "refund": "money back", "warranty": "guarantee"}


def rename(row: dict[str, Any]) -> dict[str, Any]:
    label = row["teacher"]["content"]
    teacher = {**row["teacher"], "content": OTHER_NAMES.get(label, label)}
    return {**row, "teacher": teacher, "gold": None}


class Told(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    handler = Told()
    logger = logging.getLogger("tutelage.promise")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory, told: Told) -> Run:
    folder = tmp_path_factory.mktemp("drift")
    rows = make_stream(COUNT, hard=0.1)
    stream = write_stream(folder / "s.jsonl", rows[:HALF] + [rename(row) for row in rows[HALF:]])
    return replay(stream, "--config", write_config(folder), "--no-shuffle")


def test_the_change_is_noticed_soon_and_told(swapped: Run, told: Told) -> None:
    """Nothing is served soon after it, whether the alarm or the certificate came first."""
    assert swapped.code == 0
    reasons = [line["reason"] for line in swapped.trace]
    held = next(i for i in range(HALF, COUNT) if reasons[i] in ("drift", "observe"))
    assert held <= HALF + 100
    assert set(reasons[held : held + 37]) <= {"drift", "observe"}
    assert any("less often than the gate expects; tightened" in text for text in told.messages)


def test_the_promise_is_kept_in_every_hundred_but_the_first_after_the_change(swapped: Run) -> None:
    assert any(line["tier"] == "student" for line in swapped.trace[:HALF])
    agreed = [line["agreed"] for line in swapped.trace]
    for start in range(HALF + 100, COUNT - 100, 50):
        assert sum(agreed[start : start + 100]) >= 90


def test_it_loosens_by_itself(swapped: Run) -> None:
    assert any(line["tier"] == "student" for line in swapped.trace[-100:])
