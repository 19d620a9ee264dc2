"""What must hold between workloads that are pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from router.settings.document import Document
from router.settings.problems import Path, Problem
from router.settings.rules import YES, View


def find_pool_errors(document: Document) -> Iterator[Problem]:
    """Every broken rule. Reads plain data, as the other rules do."""
    view = View(document)
    first: dict[str, int] = {}
    for i, workload in view.workloads.items():
        pool, path = workload.get("pool"), ("workloads", i, "pool")
        if not isinstance(pool, str) or not pool or not _keeps_promise(workload):
            continue
        refusal = _refuse(workload)
        if refusal is not None:
            yield document.problem(path, refusal)
            continue
        other = view.workloads[first.setdefault(pool, i)]
        for what, told in _TOLD.items():
            if _terms(workload)[what] != _terms(other)[what]:
                line = document.line_of(("workloads", first[pool]))
                yield document.problem(
                    path,
                    f"{document.show(path, pool)} is also that of the workload on line {line},"
                    f" which has another {what}: {told}",
                )


def find_idle_pools(view: View) -> Iterator[tuple[Path, str]]:
    """Pools that share nothing, as warnings: a member may be under another policy for a while."""
    pools = [one.get("pool") for one in view.workloads.values() if _keeps_promise(one)]
    for i, workload in view.workloads.items():
        if not isinstance(workload.get("pool"), str):
            continue
        if not _keeps_promise(workload):
            yield ("workloads", i, "pool"), f"plays no part under policy {workload['policy']}"
        elif pools.count(workload["pool"]) == 1:
            message = "has no other workload in it, so nothing is shared: name it in another one"
            yield ("workloads", i, "pool"), message


_TOLD = {
    "promise": "pooled workloads promise the same",
    "compare": "in a pool agreement means the same for all",
    "audit.proof_share": "in a pool as much is checked of all",
}


def _keeps_promise(workload: Mapping[str, Any]) -> bool:
    return workload.get("policy") in (None, "promise", "budget")


def _refuse(workload: Mapping[str, Any]) -> str | None:
    """Why a workload can be in no pool."""
    promise = workload.get("promise")
    if not isinstance(promise, dict):
        return "needs a promise, such as promise: {agreement: 0.97}"
    if promise.get("accuracy") is not None:
        return "can't share a promise on accuracy: promise agreement, or remove the pool"
    if str(promise.get("guarantee")).lower() in YES:
        return "can't share a guarantee, which each workload keeps by itself: remove one of the two"
    if workload.get("slices"):
        return "can't be that of a workload with slices: remove one of the two"
    return None


def _terms(workload: Mapping[str, Any]) -> Mapping[str, Any]:
    promise, audit = workload["promise"], workload.get("audit")
    return {
        "promise": (
            _number(promise.get("agreement")),
            _number(promise.get("confidence", 0.95)),
            promise.get("over", "all"),
        ),
        "compare": workload.get("compare"),
        "audit.proof_share": _number(audit.get("proof_share")) if isinstance(audit, dict) else None,
    }


def _number(value: object) -> object:
    """A substituted variable is a text."""
    try:
        return float(str(value))
    except ValueError:
        return value
