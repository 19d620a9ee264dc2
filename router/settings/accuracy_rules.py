"""What must hold beside a promise on accuracy; like ``rules.py``, over plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from router.settings.document import Document
from router.settings.model import DataSettings, PromiseSettings
from router.settings.problems import Path, Problem
from router.settings.rules import View

_DAY_S = 86_400.0


def find_accuracy_errors(document: Document) -> Iterator[Problem]:
    """Every broken rule: nothing that couldn't be kept, and nothing that would do nothing."""
    view = View(document)
    for i, workload in view.workloads.items():
        promise = _read_promise(workload)
        if promise is not None and promise.accuracy is not None:
            yield from _check(view, ("workloads", i), workload, promise)


def _read_promise(workload: Mapping[str, Any]) -> PromiseSettings | None:
    try:
        return PromiseSettings.model_validate(workload.get("promise"))
    except ValidationError:
        return None  # said elsewhere, or none


def _check(
    view: View, path: Path, workload: Mapping[str, Any], promise: PromiseSettings
) -> Iterator[Problem]:
    problem, audit = view.document.problem, workload.get("audit")
    if workload.get("slices"):
        yield problem((*path, "slices"), "can't promise accuracy: use agreement, or remove them")
    if isinstance(audit, dict) and audit.get("proof_share") is not None:
        message = "plays no part under accuracy: use promise.verdicts.share"
        yield problem((*path, "audit", "proof_share"), message)
    if isinstance(audit, dict) and audit.get("repeats"):
        message = "measures nothing for a promise on accuracy: remove it"
        yield problem((*path, "audit", "repeats"), message)
    try:
        data = DataSettings.model_validate(view.top.get("data") or {})
    except ValidationError:
        return  # said elsewhere
    if promise.effective_verdicts.within >= data.retention_days * _DAY_S:
        message = "is as long as records are kept: make it shorter, or data.retention_days longer"
        yield problem((*path, "promise", "verdicts", "within"), message)
