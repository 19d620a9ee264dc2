"""The composition root: the one place that constructs things."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.types import Trial
from router.budget import BudgetKeeper
from router.deps import Deps, build_targets
from router.drafting import EmbeddedDrafter
from router.errors import ApiError, BadRequest, StoreError, TutelageError
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
from router.record.journal import Journal
from router.record.recovery import adopt
from router.record.redact import Redactor
from router.record.sink import Sink
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import Settings, WorkloadSettings
from router.students.encoder import Encoder
from router.upstream.client import UpstreamClient
from router.workload import find_workload

_log = logging.getLogger("tutelage")

_DRAIN_S = 10.0
_FOLLOW_S = 1.0
_ADOPT_S = 5.0
_MOST_TRIALS = 10_000
_RETRY_AFTER_S = "1"


def create_app(settings: Settings, store: Store, *, workers: int = 1) -> FastAPI:
    """The gateway over an open store, which it closes when it ends.

    ``workers``: how many like this one serve from the store at the same time.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        journal = await run_in_threadpool(_open_journal, settings, store)
        deps = build_deps(settings, store, journal, shared=workers > 1)
        if journal is not None:  # before anything is read that it may hold the rest of
            await run_in_threadpool(_adopt, deps, journal)
        await run_in_threadpool(_restore_promises, deps)
        await deps.upstream.start()
        app.state.deps = deps
        await _take_up_releases(deps)  # so that the first request after a restart finds them
        followers = [asyncio.create_task(_follow_releases(deps))]
        if journal is not None:
            followers.append(asyncio.create_task(_follow_journals(deps, journal)))
        if workers > 1:
            followers.append(asyncio.create_task(_follow_promises(deps)))
        try:
            yield
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
            await _finish_background(deps)
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
    app.add_exception_handler(StoreError, _answer_store_error)
    app.add_exception_handler(HTTPException, _answer_http_error)
    app.add_exception_handler(Exception, _answer_bug)
    return app


def build_deps(
    settings: Settings, store: Store, journal: Journal | None = None, *, shared: bool = False
) -> Deps:
    """``journal``: None for whoever only reads; ``shared``: others write to the store as well."""
    metrics = Metrics()
    redactor = Redactor(settings.data.redact)
    teacher_costs = TeacherCostEstimator()
    for workload, (total_usd, answers) in store.teacher_costs().items():
        teacher_costs.seed(workload, total_usd, answers)
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
        upstream=UpstreamClient(),
        targets=build_targets(settings),
        teacher_costs=teacher_costs,
        redactor=redactor,
        releases=ActiveReleases(store),
        promises=PromiseKeeper(store, metrics, shared=shared),
        budgets=BudgetKeeper(store, metrics),
        drafter=EmbeddedDrafter(Encoder(), redactor),
        coin=random.Random().random,
    )


def _open_journal(settings: Settings, store: Store) -> Journal | None:
    """None for a store in memory, which nothing outlasts."""
    if store.in_memory:
        return None
    return Journal(settings.store.beside("journal"), sync=settings.store.journal.sync)


def _adopt(deps: Deps, journal: Journal) -> None:
    adopt(journal.folder, deps.store, count_lost=deps.metrics.add_dropped)


async def _follow_journals(deps: Deps, journal: Journal) -> None:
    """Take over what a process that was killed left behind; while the store fails it waits."""
    while True:
        await asyncio.sleep(_ADOPT_S)
        with suppress(StoreError):
            await run_in_threadpool(_adopt, deps, journal)


async def _follow_promises(deps: Deps) -> None:
    """Take in what all workers have seen; while the store fails it waits."""
    while True:
        await asyncio.sleep(_FOLLOW_S)
        for workload, upto_seq in deps.promises.followed().items():
            with suppress(StoreError):
                trials = await run_in_threadpool(_read_trials, deps.store, workload, upto_seq)
                snapshot = deps.promises.take_in(workload, trials)
                if snapshot is not None:
                    await run_in_threadpool(deps.store.keep_promise, workload, snapshot)


def _read_trials(store: Store, workload: str, upto_seq: int) -> list[tuple[int, Trial]]:
    return [*islice(store.trials(workload, upto_seq), _MOST_TRIALS)]


def _restore_promises(deps: Deps) -> None:
    """Read every promise's state before the first request needs it: that may take its time."""
    for workload, configured in _configured_workloads(deps.settings):
        if configured.promise is not None and configured.effective_policy == "promise":
            deps.promises.account(workload, configured.promise)
        if configured.budget is not None and configured.effective_policy == "budget":
            deps.budgets.purse(workload, configured.budget)


def _configured_workloads(settings: Settings) -> Iterator[tuple[str, WorkloadSettings]]:
    """Each with the identity that it has for each tenant."""
    for configured in settings.workloads:
        for tenant in {key.tenant for key in settings.keys} or {""}:
            yield find_workload(settings, {}, configured.name, tenant)[0], configured


async def _follow_releases(deps: Deps) -> None:
    """Take up what was promoted, once a second; a failure is told once."""
    told: str | None = None
    while True:
        problem = await _take_up_releases(deps)
        if problem is not None and problem != told:
            _log.error("Releases could not be followed: %s", problem)
        told = problem
        await asyncio.sleep(_FOLLOW_S)


async def _take_up_releases(deps: Deps) -> str | None:
    """Follow the store's pointers; a failure leaves the releases in force and is returned."""
    problem: str | None = None
    before = set(deps.releases.all())
    try:
        if await run_in_threadpool(deps.releases.refresh):
            await deps.drafter.warm_up()
    except TutelageError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - the follower must outlive whatever it meets
        problem = f"{type(error).__name__}: {error}"
    _show_releases(deps, before)
    return problem


def _show_releases(deps: Deps, before: set[str]) -> None:
    """Tell the metrics what serves; ``before``: workloads that had a release until now."""
    active = deps.releases.all()
    configured = dict(_configured_workloads(deps.settings))
    for workload in before | active.keys() | configured.keys():
        release, settings = active.get(workload), configured.get(workload)
        student = "none"
        if release is not None and release.student is not None:
            student = f"embedded@{release.digest[:12]}"
        policy = "teacher" if settings is None else settings.effective_policy
        deps.metrics.set_release(workload, student=student, policy=policy)


async def _finish_background(deps: Deps) -> None:
    """Give audits time to end; those that don't are recorded as they stand."""
    if deps.background:
        _, late = await asyncio.wait(deps.background, timeout=_DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _write_error(error: ApiError) -> Response:
    headers = {**error.headers, "content-type": "application/json"}
    if error.status == 429 and error.headers.get("x-should-retry") != "false":
        headers.setdefault("retry-after", _RETRY_AFTER_S)  # an upstream may not have said
    return Response(error.body(), status_code=error.status, headers=headers)


async def _answer_api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return _write_error(error)


async def _answer_store_error(request: Request, error: Exception) -> Response:
    headers = {"retry-after": _RETRY_AFTER_S}
    return _write_error(ApiError(f"{error}.", status=503, code="store_failed", headers=headers))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = f"{error.detail}: {request.method} {request.url.path}"
    return _write_error(BadRequest(sentence, status=error.status_code))


async def _answer_bug(request: Request, error: Exception) -> Response:
    return _write_error(ApiError("The gateway failed on this request; its log says why."))
