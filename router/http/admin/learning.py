"""What was learned: the cycles with what they came to."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from router.deps import Deps
from router.record.database import dump_json

_MOST: Final = 50


async def list_cycles(request: Request) -> dict[str, Any]:
    """The newest 50, or those of ``?workload=``, newest first; ``answers``: by workload, what the
    next one can learn from."""
    deps: Deps = request.app.state.deps
    workload = request.query_params.get("workload") or None
    cycles = await run_in_threadpool(deps.store.cycles, _MOST, workload)
    answers = await run_in_threadpool(deps.store.answers_by_workload)
    data = [json.loads(dump_json(asdict(one))) for one in cycles]
    return {"object": "list", "data": data, "answers": answers}
