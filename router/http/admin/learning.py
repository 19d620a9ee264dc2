"""What was learned: the cycles with what they came to, and what the last one's student knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from router.deps import Deps
from router.record.database import dump_json
from router.record.model import Cycle
from router.record.store import Store

_MOST: Final = 50


async def list_cycles(request: Request) -> dict[str, Any]:
    """The newest 50, or those of ``?workload=``, newest first, without what ``list_learned`` has;
    ``answers``: by workload, what the next one can learn from."""
    deps: Deps = request.app.state.deps
    cycles = await run_in_threadpool(deps.store.cycles, _MOST, _read_workload(request))
    answers = await run_in_threadpool(deps.store.answers_by_workload)
    data = [json.loads(dump_json(asdict(one))) for one in cycles]
    for one in data:
        one["detail"].pop("clusters", None)
    return {"object": "list", "data": data, "answers": answers}


async def list_learned(request: Request) -> dict[str, Any]:
    """By workload, the newest cycle with a learning curve: ``curve``, ``clusters`` of what its
    student gets wrong, and ``earlier``: the last point of the cycles before, oldest first.

    An example is ``id`` and ``text`` of an interaction; those that were erased are left out.
    """
    deps: Deps = request.app.state.deps
    data = await run_in_threadpool(_read_learned, deps.store, _read_workload(request))
    return {"object": "list", "data": data}


def _read_workload(request: Request) -> str | None:
    return request.query_params.get("workload") or None


def _read_learned(store: Store, workload: str | None) -> list[dict[str, Any]]:
    found: dict[str, list[Cycle]] = {}
    for cycle in store.cycles(_MOST, workload):
        if cycle.detail.get("curve"):
            found.setdefault(cycle.workload, []).append(cycle)
    ids = [
        name
        for newest, *_ in found.values()
        for cluster in newest.detail["clusters"]
        for name in cluster["examples"]
    ]
    texts = store.find_texts(ids)
    return [_write_learned(found[name], texts) for name in sorted(found)]


def _write_learned(cycles: Sequence[Cycle], texts: Mapping[str, str]) -> dict[str, Any]:
    newest, *before = cycles
    clusters = [
        {
            **cluster,
            "examples": [
                {"id": name, "text": texts[name]} for name in cluster["examples"] if name in texts
            ],
        }
        for cluster in newest.detail["clusters"]
    ]
    return {
        "workload": newest.workload,
        "cycle": newest.id,
        "outcome": newest.outcome,
        "ended_at": newest.ended_at,
        "curve": newest.detail["curve"],
        "earlier": [cycle.detail["curve"][-1] for cycle in reversed(before)],
        "clusters": clusters,
    }
