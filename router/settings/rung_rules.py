"""What must hold for the further models of a ladder; like ``rules.py``, over plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router.settings.document import Document
from router.settings.model import POLICIES_OVER_RUNGS, STUDENT_KEY
from router.settings.problems import Path, Problem
from router.settings.rules import View


def find_rung_errors(document: Document) -> Iterator[Problem]:
    """Every broken rule."""
    view = View(document)
    for i, workload in view.workloads.items():
        path: Path = ("workloads", i, "rungs")
        rungs = workload.get("rungs")
        if not isinstance(rungs, list) or not rungs:
            continue
        yield from _check_policy(document, path, workload)
        seen: set[str] = set()
        for at, name in enumerate(rungs):
            if not isinstance(name, str):
                continue
            problem = _find_fault(view, name, name in seen)
            if problem is not None:
                yield document.problem((*path, at), f"{document.show((*path, at), name)} {problem}")
            seen.add(name)


def _check_policy(document: Document, path: Path, workload: Mapping[str, Any]) -> Iterator[Problem]:
    """There is a policy that judges each draft, or the teacher answers all, which is warned of."""
    policy = workload.get("policy")
    if policy == "budget" and isinstance(workload.get("promise"), dict):
        return  # the promise outranks it
    if isinstance(policy, str) and policy not in (*POLICIES_OVER_RUNGS, "teacher"):
        message = f"play no part under policy {policy}: use promise or threshold, or remove them"
        yield document.problem(path, message)


def _find_fault(view: View, name: str, again: bool) -> str | None:
    """What is wrong with one of the names."""
    if again:
        return "is listed twice"
    if name == STUDENT_KEY:
        return "is asked before any further model: remove it"
    if name not in view.model_keys:
        return "is not the key of a model"
    if name == view.teacher:
        return "is the teacher, which answers where no draft is fit: remove it"
    if name not in view.upstream_models:
        return "is embedded: a further model is one behind a server"
    return None
