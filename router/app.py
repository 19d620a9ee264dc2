"""The composition root: the one place that constructs things."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.deps import Deps, build_targets
from router.drafting import EmbeddedDrafter
from router.errors import ApiError, BadRequest, TutelageError
from router.http.chat import answer_chat
from router.http.models import list_models, show_model
from router.http.operation import (
    render_metrics,
    report_live,
    report_ready,
    show_interaction,
)
from router.http.ui import dashboard_routes
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator
from router.promise import PromiseKeeper
from router.record.redact import Redactor
from router.record.sink import Sink
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import Settings
from router.students.encoder import Encoder
from router.upstream.client import UpstreamClient

_log = logging.getLogger("tutelage")

_DRAIN_S = 10.0
_FOLLOW_S = 1.0


def create_app(settings: Settings, store: Store) -> FastAPI:
    """The gateway over an open store, which it closes when it ends."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        deps = _build(settings, store)
        await deps.upstream.start()
        app.state.deps = deps
        follower = asyncio.create_task(_follow_releases(deps))
        try:
            yield
        finally:
            follower.cancel()
            with suppress(asyncio.CancelledError):
                await follower
            if deps.background:
                await asyncio.wait(deps.background, timeout=_DRAIN_S)
            await deps.upstream.close()
            deps.drafter.close()
            lost = await run_in_threadpool(deps.sink.drain, _DRAIN_S)
            if lost:
                _log.error("%d records could not be written before the end.", lost)
            store.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.router.routes.extend(
        [
            Route("/v1/chat/completions", answer_chat, methods=["POST"]),
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route("/v1/interactions/{id}", show_interaction),
            Route("/metrics", render_metrics),
            Route("/health/live", report_live),
            Route("/health/ready", report_ready),
            *dashboard_routes(),
        ]
    )
    app.add_exception_handler(ApiError, _answer_api_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_bug)
    return app


def _build(settings: Settings, store: Store) -> Deps:
    metrics = Metrics()
    redactor = Redactor(settings.data.redact)
    teacher_costs = TeacherCostEstimator()
    for workload, (total_usd, answers) in store.teacher_costs().items():
        teacher_costs.seed(workload, total_usd, answers)
    return Deps(
        settings=settings,
        store=store,
        sink=Sink(store, metrics),
        metrics=metrics,
        upstream=UpstreamClient(),
        targets=build_targets(settings),
        teacher_costs=teacher_costs,
        redactor=redactor,
        releases=ActiveReleases(store),
        promises=PromiseKeeper(store, metrics),
        drafter=EmbeddedDrafter(Encoder(), redactor),
        coin=random.Random().random,
    )


async def _follow_releases(deps: Deps) -> None:
    """Take up what was promoted, once a second; a failure leaves the release in force."""
    while True:
        try:
            changed = await run_in_threadpool(deps.releases.refresh)
            if changed:
                await deps.drafter.warm_up()
        except TutelageError as error:
            _log.error("Releases could not be followed: %s", error)
        await asyncio.sleep(_FOLLOW_S)


def _write_error(error: ApiError) -> Response:
    headers = {**error.headers, "content-type": "application/json"}
    return Response(error.body(), status_code=error.status, headers=headers)


async def _answer_api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return _write_error(error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = f"{error.detail}: {request.method} {request.url.path}"
    return _write_error(BadRequest(sentence, status=error.status_code))


async def _answer_bug(request: Request, error: Exception) -> Response:
    return _write_error(ApiError("The gateway failed on this request; its log says why."))
