from __future__ import annotations

import pytest

from router.settings.check import check_settings
from router.settings.model import LearningSettings


def errors(launcher: str) -> list[str]:
    text = f"learning:\n  launcher: {launcher}\n"
    found = check_settings(text, {})
    return [problem.message for problem in found if problem.severity == "error"]


def test_a_kind_alone_is_enough_where_it_needs_nothing() -> None:
    assert errors("process") == errors("ray") == []
    assert LearningSettings.model_validate({"launcher": "ray"}).launcher.kind == "ray"
    assert LearningSettings().launcher.kind == "process"


def test_a_command_is_words_or_a_line_of_them() -> None:
    line = "kubectl create -f '{folder}/my job.yaml'"
    read = LearningSettings.model_validate({"launcher": {"kind": "command", "command": line}})
    assert read.launcher.command == ("kubectl", "create", "-f", "{folder}/my job.yaml")
    assert errors("{kind: command, command: ['sh', '-c', 'echo {\"a\": 1} > {folder}/x']}") == []


@pytest.mark.parametrize(
    "launcher, why",
    [
        ("slurm", "must be process, torchrun, ray or command"),
        ("torchrun", "needs processes"),
        ("command", "needs command: the words"),
        ("{kind: process, processes: 2}", "has processes, which is only for kind torchrun"),
        ("{kind: torchrun, processes: 2, address: auto}", "address, which is only for kind ray"),
        ("{kind: command, command: [sky, launch]}", "without {folder}"),
        ("{kind: command, command: [sky, '{folder}', '{store}']}", "a command with {store}"),
        ('{kind: command, command: "sky \'{folder}"}', "can't be split into words"),
        ("{kind: command, command: []}", "must not be empty"),
        ("{kind: ray, threads: 0}", "must be at least 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(launcher: str, why: str) -> None:
    found = errors(launcher)
    assert len(found) == 1
    assert why in found[0], found
