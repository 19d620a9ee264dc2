"""Health, metrics, and one interaction's summary."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from router.auth import authenticate
from router.deps import Deps
from router.errors import ApiError, NotFound
from router.following import show_requests
from router.reload import ConfigFollower
from router.verdicts import describe_verdict


async def report_live(request: Request) -> Response:
    """The process runs."""
    return JSONResponse({"status": "live"})


async def report_ready(request: Request) -> Response:
    """The process answers requests, how many wait, how many records the store hasn't got, and
    whether the configuration file is in force (its log says why not).

    A store that can't be written is no reason to send callers elsewhere: they are answered, and
    what waits is written later.
    """
    deps: Deps = request.app.state.deps
    file: ConfigFollower | None = request.app.state.config_file
    faulty = file is not None and file.problem is not None
    return JSONResponse(
        {
            "status": "ready",
            "records": {"waiting": deps.sink.lag, "dropped": deps.sink.dropped},
            "requests": {"running": deps.admission.in_flight, "waiting": deps.admission.waiting},
            "configuration": "faulty file, the one before is in force" if faulty else "in force",
        }
    )


async def render_metrics(request: Request) -> Response:
    """Prometheus text, of all workers of this gateway; needs a key where keys are configured."""
    deps: Deps = request.app.state.deps
    authenticate(deps.settings, request.headers, request.url.path)
    if deps.door is not None:
        await deps.door.show(deps.settings, deps.metrics)
    show_requests(deps)
    try:
        body, media_type = await run_in_threadpool(deps.metrics.render)
    except OSError as error:
        sentence = f"The workers' metrics can't be put together: {error.strerror}."
        raise ApiError(sentence, status=503, code="metrics_unavailable") from None
    return Response(body, headers={"content-type": media_type})


async def show_interaction(request: Request) -> Response:
    """``{id, tier, model, cost_usd, trace}`` of the caller's own interaction, else 404."""
    deps: Deps = request.app.state.deps
    caller = authenticate(deps.settings, request.headers, request.url.path)
    interaction = request.path_params["id"]
    found = await run_in_threadpool(deps.store.interaction, interaction)
    unaudited = deps.unaudited.find(interaction, caller.key_name)
    if found is None and unaudited is not None:
        return JSONResponse(unaudited)
    if found is None or found.key_name != caller.key_name:
        raise NotFound("No such interaction.", code="interaction_not_found")
    return JSONResponse(
        {
            "id": found.id,
            "tier": str(found.tier),
            "model": found.model,
            "cost_usd": None if found.cost_usd is None else float(found.cost_usd),
            "trace": list(found.trace),
            **await run_in_threadpool(describe_verdict, deps.store, deps.settings, found),
        }
    )
