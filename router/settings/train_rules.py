"""What must hold for training a student that writes; like ``rules.py``, over plain data."""

from __future__ import annotations

from collections.abc import Iterator

from router.settings.document import Document
from router.settings.model import STUDENT_KEY
from router.settings.problems import Path, Problem
from router.settings.rules import View

_PATH: Path = ("learning", "train")


def find_train_errors(document: Document) -> Iterator[Problem]:
    """Every broken rule."""
    view, problem = View(document), document.problem
    learning = view.top.get("learning")
    train = learning.get("train") if isinstance(learning, dict) else None
    if train is None:
        return
    student = view.models.get(STUDENT_KEY)
    if student is None or student.get("kind", "openai") == "embedded":
        yield problem(_PATH, "is for a student of kind openai: set models.student")
    scorer = train.get("scorer") if isinstance(train, dict) else None
    if not isinstance(scorer, str):
        return
    path: Path = (*_PATH, "scorer")
    model = view.upstream_models.get(scorer)
    if model is None:
        yield problem(path, f"{document.show(path, scorer)} is not the key of a model to be asked")
    elif model.get("distillation") != "allowed":
        yield problem(
            path, f"may not teach: set models.{scorer}.distillation where its terms allow"
        )
