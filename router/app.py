"""The composition root: the one place that constructs things."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from router.admission import Admission
from router.deciding.budget import BudgetKeeper
from router.deciding.plugins import load_policies
from router.deciding.promise import PromiseKeeper
from router.deciding.recall import RecallKeeper
from router.deciding.rungs import RungKeeper
from router.deps import Deps, build_targets
from router.drafting import Drafter, EmbeddedDrafter
from router.following import (
    adopt_journals,
    restore_workloads,
    start_followers,
    take_up_releases,
)
from router.generative.adapters import Residents
from router.generative.drafter import GenerativeDrafter
from router.generative.replicas import build_replicas
from router.http.admin.routes import admin_routes
from router.http.failing import add_failure_handlers
from router.http.feedback import take_feedback
from router.http.front import Gateway
from router.http.models import list_models, show_model
from router.http.openapi.document import show_document
from router.http.operation import (
    render_metrics,
    report_live,
    report_ready,
    show_interaction,
)
from router.http.ui import dashboard_routes
from router.http.unmetered import unmetered_routes
from router.limits.door import Door
from router.limits.keeper import build_limits
from router.meter.board import Board
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator
from router.overlay import read_overlay
from router.record.journal import Journal
from router.record.redact import Redactor
from router.record.sink import Sink
from router.record.store import Store
from router.release import ActiveReleases
from router.reload import ConfigFollower
from router.settings.model import Settings
from router.staging.keeper import Staging
from router.students.encoder import Encoder
from router.telemetry.tracer import build_tracer, require_exporter
from router.upstream.breakers import MemoryBreakers
from router.upstream.client import UpstreamClient
from router.upstream.failover import Failover

_log = logging.getLogger("tutelage")

_DRAIN_S = 10.0
_START_S = 60.0


def create_app(
    settings: Settings,
    store: Store,
    config: Path | None = None,
    *,
    workers: int = 1,
    board: Board | None = None,
) -> Gateway:
    """The gateway over an open store, which it closes when it ends.

    ``config``: the file of the settings, whose changes are taken up; None where there is none.
    ``workers``: how many like this one serve from the store at the same time; ``board``: where
    those of this machine show each other their metrics. Raises ConfigError.
    """
    require_exporter(settings)
    config_file = None if config is None else ConfigFollower(config, os.environ)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        journal = await run_in_threadpool(_open_journal, settings, store)
        overlay = await run_in_threadpool(read_overlay, settings, store, workers)
        for problem in overlay.problems.values():
            _log.error("%s", problem)
        shared = workers > 1
        deps = build_deps(overlay.settings, store, journal, shared=shared, board=board)
        app.state.deps = deps
        app.state.config_file = config_file
        app.state.overlay = overlay
        app.state.policy_turn = asyncio.Lock()
        await _begin(deps, journal)
        followers = start_followers(app, journal)
        try:
            yield
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
            await _end(deps)

    # A redirect to the path without its last slash would be made from the Host header.
    app = Gateway(lifespan=lifespan, openapi_url=None, redirect_slashes=False)
    app.router.routes.extend(
        [
            *unmetered_routes(),
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route("/v1/interactions/{id}", show_interaction),
            Route("/v1/feedback", take_feedback, methods=["POST"]),
            Route("/metrics", render_metrics),
            Route("/openapi.json", show_document),
            Route("/health/live", report_live),
            Route("/health/ready", report_ready),
            *admin_routes(),
            *dashboard_routes(),
        ]
    )
    add_failure_handlers(app)
    return app


async def _begin(deps: Deps, journal: Journal | None) -> None:
    """What the first request is to find."""
    if journal is not None:  # before anything is read that it may hold the rest of
        await run_in_threadpool(adopt_journals, deps, journal)
    await run_in_threadpool(restore_workloads, deps)
    await deps.upstream.start()
    with suppress(TimeoutError):  # a student's server that hangs must not keep the teacher's
        async with asyncio.timeout(_START_S):
            await take_up_releases(deps)


async def _end(deps: Deps) -> None:
    """Let what was begun end, and write down what is left."""
    await _finish_background(deps)
    await deps.upstream.close()
    deps.drafter.close()
    if deps.door is not None:
        await deps.door.close()
    lost = await run_in_threadpool(deps.sink.drain, _DRAIN_S)
    if lost:
        _log.error("%d records could not be written before the end.", lost)
    if deps.tracer is not None:
        await run_in_threadpool(deps.tracer.close)
    deps.store.close()


def build_deps(
    settings: Settings,
    store: Store,
    journal: Journal | None = None,
    *,
    shared: bool = False,
    board: Board | None = None,
    begins: bool = True,
) -> Deps:
    """``journal``: None for whoever only reads; ``shared``: others write to the store as well;
    ``board``: see ``Metrics``; ``begins``: see ``PromiseKeeper``."""
    metrics = Metrics(board)
    redactor = Redactor(settings.data.redact)
    teacher_costs = TeacherCostEstimator()
    for workload, (total_usd, answers) in store.teacher_costs().items():
        teacher_costs.seed(workload, total_usd, answers)
    targets = build_targets(settings)
    upstream = UpstreamClient()
    drafter = _build_drafter(settings, upstream, redactor)
    background: set[asyncio.Task[None]] = set()
    return Deps(
        settings=settings,
        store=store,
        sink=Sink(
            store,
            metrics,
            journal=journal,
            journal_bytes=settings.store.journal.max_mb * 1_000_000,
        ),
        metrics=metrics,
        upstream=Failover(upstream, MemoryBreakers()),
        targets=targets,
        teacher_costs=teacher_costs,
        redactor=redactor,
        releases=ActiveReleases(store),
        promises=PromiseKeeper(store, metrics, settings, shared=shared, begins=begins),
        budgets=BudgetKeeper(store, metrics),
        drafter=drafter,
        background=background,
        staging=Staging(drafter, background),
        door=Door(build_limits(settings, store)),
        recall=RecallKeeper(store, settings, targets),
        rungs=RungKeeper(store),
        coin=random.Random().random,
        plugins=load_policies(settings),
        tracer=build_tracer(settings),
        admission=Admission(
            max_in_flight=settings.server.max_in_flight,
            max_waiting=settings.server.max_waiting,
            max_wait_s=settings.server.max_wait_s,
        ),
    )


def _open_journal(settings: Settings, store: Store) -> Journal | None:
    """None for a store in memory, which nothing outlasts."""
    if store.in_memory:
        return None
    return Journal(settings.store.beside("journal"), sync=settings.store.journal.sync)


def _build_drafter(settings: Settings, upstream: UpstreamClient, redactor: Redactor) -> Drafter:
    replicas = build_replicas(settings, upstream)
    if replicas is None:
        return EmbeddedDrafter(Encoder(), redactor)
    base = replicas.targets[0].model
    return GenerativeDrafter(replicas, Residents(replicas, upstream), base)


async def _finish_background(deps: Deps) -> None:
    """Give audits time to end; those that don't are recorded as they stand."""
    if deps.background:
        _, late = await asyncio.wait(deps.background, timeout=_DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
