from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distill.launch.follow import Follower
from distill.launch.job import Job


def test_whole_lines_are_told_once_and_half_ones_when_they_are_whole(tmp_path: Path) -> None:
    told: list[Mapping[str, Any]] = []
    path = tmp_path / "said.jsonl"
    follower = Follower(path, told.append)
    follower.look()
    assert (told, follower.last) == ([{}], {})
    path.write_text('{"step": 1}\n{"st')
    follower.look()
    assert told == [{}, {}, {"step": 1}]
    with path.open("a") as file:
        file.write('ep": 2}\n')
    follower.look()
    follower.look()
    assert [one["step"] for one in told if one] == [1, 2]
    assert follower.last == {"step": 2}


def test_half_a_line_of_a_job_that_was_killed_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / "said.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo{"step": 2}\n{"result": 3}\n')
    follower = Follower(path, lambda _: None)
    follower.look()
    assert follower.last == {"result": 3}
    follower.forget()
    follower.look()
    assert follower.last == {}


def test_a_job_is_named_by_everything_it_is_made_of() -> None:
    made = {
        "workload": "shop",
        "dataset": "d",
        "recipe": {"name": "kernel_ridge", "seed": 0},
        "needs": {"encoder": "e"},
        "threads": 1,
    }
    digest = Job(**made).digest
    assert Job(**dict(reversed(made.items()))).digest == digest
    others = {
        "workload": "other",
        "dataset": "e",
        "recipe": {"name": "kernel_ridge", "seed": 1},
        "needs": {"encoder": "f"},
        "threads": 2,
    }
    digests = {Job(**(made | {name: value})).digest for name, value in others.items()}
    assert len(digests | {digest}) == 6
    assert Job(**made).name == digest[:16]
