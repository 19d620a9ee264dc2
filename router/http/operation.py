"""Health, metrics, and one interaction's summary."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.auth import authenticate
from router.deps import Deps
from router.errors import NotFound


async def report_live(request: Request) -> Response:
    """The process runs."""
    return JSONResponse({"status": "live"})


async def report_ready(request: Request) -> Response:
    """The process answers requests, and how many records the store hasn't got.

    A store that can't be written is no reason to send callers elsewhere: they are answered, and
    what waits is written later.
    """
    sink = request.app.state.deps.sink
    records = {"waiting": sink.lag, "dropped": sink.dropped}
    return JSONResponse({"status": "ready", "records": records})


async def render_metrics(request: Request) -> Response:
    """Prometheus text; needs a key where keys are configured."""
    deps: Deps = request.app.state.deps
    authenticate(deps.settings, request.headers)
    body, media_type = deps.metrics.render()
    return Response(body, headers={"content-type": media_type})


async def show_interaction(request: Request) -> Response:
    """``{id, tier, model, cost_usd, trace}`` of the caller's own interaction, else 404."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers)
    found = await run_in_threadpool(deps.store.interaction, request.path_params["id"])
    if found is None or found.key_name != caller.key_name:
        raise NotFound("No such interaction.", code="interaction_not_found")
    return JSONResponse(
        {
            "id": found.id,
            "tier": str(found.tier),
            "model": found.model,
            "cost_usd": None if found.cost_usd is None else float(found.cost_usd),
            "trace": list(found.trace),
        }
    )
