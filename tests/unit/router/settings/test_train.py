from __future__ import annotations

import json
from typing import Any

import pytest

from router.settings.check import examine_settings

TEACHER = {"upstream": "http://127.0.0.1:9/v1", "model": "big"}
ALLOWED = {**TEACHER, "distillation": "allowed"}
STUDENT = {"kind": "openai", "upstream": "http://127.0.0.1:9/v1", "model": "small"}


def problems_of(train: Any, **models: Any) -> list[str]:
    given = {"models": {"teacher": TEACHER, "student": STUDENT, **models}}
    _, problems = examine_settings(json.dumps({**given, "learning": {"train": train}}), {})
    return [problem.sentence for problem in problems if problem.severity == "error"]


def test_the_weights_alone_are_enough() -> None:
    given = {"models": {"student": STUDENT}, "learning": {"train": "./smollm2"}}
    settings, problems = examine_settings(json.dumps(given), {})
    assert settings is not None, problems
    assert settings.learning.train is not None
    assert (settings.learning.train.base, settings.learning.train.recipe) == (
        "./smollm2",
        "sequence",
    )
    assert settings.learning.train.options == {}


def test_options_are_those_of_the_recipe() -> None:
    train = {"base": "b", "recipe": "on-policy", "scorer": "scorer", "new_tokens": 64, "batch": 4}
    given = {"models": {"teacher": TEACHER, "student": STUDENT, "scorer": ALLOWED}}
    settings, problems = examine_settings(json.dumps({**given, "learning": {"train": train}}), {})
    assert settings is not None, problems
    assert settings.learning.train is not None
    assert settings.learning.train.options == {"new_tokens": 64, "batch": 4}


@pytest.mark.parametrize(
    ("train", "models", "said"),
    [
        ({}, {}, "learning.train.base"),
        ({"base": "b", "recipe": "preference"}, {}, "learning.train.recipe"),
        ({"base": "b", "recipe": "standard"}, {}, "needs scorer"),
        ({"base": "b", "scorer": "big"}, {"big": ALLOWED}, "has scorer, which is for"),
        ({"base": "b", "new_tokens": 9}, {}, "has new_tokens"),
        ({"base": "b", "batch": 0}, {}, "learning.train.batch"),
        ("b", {"student": {"kind": "embedded"}}, "is for a student of kind openai"),
        (
            {"base": "b", "recipe": "standard", "scorer": "nobody"},
            {},
            "is not the key of a model to be asked",
        ),
        (
            {"base": "b", "recipe": "standard", "scorer": "teacher"},
            {},
            "set models.teacher.distillation",
        ),
    ],
)
def test_what_cant_train_is_told_in_a_sentence(
    train: Any, models: dict[str, Any], said: str
) -> None:
    found = problems_of(train, **models)
    assert len(found) == 1, found
    assert said in found[0]
