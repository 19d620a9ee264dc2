"""The composition root: the one place that constructs things."""

from __future__ import annotations

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import islice
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from policies.types import Trial
from router.admission import Admission, AdmissionMiddleware
from router.budget import BudgetKeeper
from router.deps import Deps, build_targets
from router.drafting import Drafter, EmbeddedDrafter
from router.errors import ApiError, BadRequest, StoreError, TutelageError
from router.generative.adapters import Residents
from router.generative.drafter import GenerativeDrafter
from router.generative.replicas import build_replicas
from router.http.chat import answering_routes
from router.http.feedback import take_feedback
from router.http.models import list_models, show_model
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
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator
from router.plugins import load_policies
from router.promise import PromiseKeeper
from router.recall import RecallKeeper
from router.record.journal import Journal
from router.record.recovery import adopt
from router.record.redact import Redactor
from router.record.sink import Sink
from router.record.store import Store
from router.release import ActiveReleases, Release
from router.reload import ConfigFollower, explain_refusal, take_up
from router.retention import keep_retention
from router.settings.model import Settings, WorkloadSettings
from router.students.embedded import EmbeddedStudent
from router.students.encoder import Encoder
from router.upstream.breakers import MemoryBreakers
from router.upstream.client import UpstreamClient
from router.upstream.failover import Failover
from router.wire.speaking import form_at, write_error
from router.workload import find_workload

_log = logging.getLogger("tutelage")

_DRAIN_S = 10.0
_FOLLOW_S = 0.5
_LOOK_S = 0.5
_ADOPT_S = 5.0
_START_S = 60.0
_MOST_TRIALS = 10_000
_RETRY_AFTER_S = "1"


def create_app(
    settings: Settings, store: Store, config: Path | None = None, *, workers: int = 1
) -> FastAPI:
    """The gateway over an open store, which it closes when it ends.

    ``config``: the file of the settings, whose changes are taken up; None where there is none.
    ``workers``: how many like this one serve from the store at the same time.
    """
    config_file = None if config is None else ConfigFollower(config, os.environ)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        journal = await run_in_threadpool(_open_journal, settings, store)
        deps = build_deps(settings, store, journal, shared=workers > 1)
        if journal is not None:  # before anything is read that it may hold the rest of
            await run_in_threadpool(_adopt, deps, journal)
        await run_in_threadpool(_restore_workloads, deps)
        await deps.upstream.start()
        app.state.deps = deps
        app.state.config_file = config_file
        with suppress(TimeoutError):  # a student's server that hangs must not keep the teacher's
            async with asyncio.timeout(_START_S):
                await _take_up_releases(deps)  # so that the first request finds them
        followers = [
            asyncio.create_task(_follow_releases(app)),
            asyncio.create_task(_tend_students(app)),
            asyncio.create_task(keep_retention(store, settings.data.retention_days)),
        ]
        if config_file is not None:
            followers.append(asyncio.create_task(_follow_config(app, config_file)))
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
            if deps.door is not None:
                await deps.door.close()
            lost = await run_in_threadpool(deps.sink.drain, _DRAIN_S)
            if lost:
                _log.error("%d records could not be written before the end.", lost)
            store.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    app.router.routes.extend(
        [
            *answering_routes(),
            *unmetered_routes(),
            Route("/v1/models", list_models),
            Route("/v1/models/{model:path}", show_model),
            Route("/v1/interactions/{id}", show_interaction),
            Route("/v1/feedback", take_feedback, methods=["POST"]),
            Route("/metrics", render_metrics),
            Route("/health/live", report_live),
            Route("/health/ready", report_ready),
            *dashboard_routes(),
        ]
    )
    app.add_middleware(AdmissionMiddleware)
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
    targets = build_targets(settings)
    upstream = UpstreamClient()
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
        promises=PromiseKeeper(store, metrics, shared=shared),
        budgets=BudgetKeeper(store, metrics),
        drafter=_build_drafter(settings, upstream, redactor),
        door=Door(build_limits(settings, store)),
        recall=RecallKeeper(store, settings, targets),
        coin=random.Random().random,
        plugins=load_policies(settings),
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


def _build_drafter(settings: Settings, upstream: UpstreamClient, redactor: Redactor) -> Drafter:
    replicas = build_replicas(settings, upstream)
    if replicas is None:
        return EmbeddedDrafter(Encoder(), redactor)
    base = replicas.targets[0].model
    return GenerativeDrafter(replicas, Residents(replicas, upstream), base)


def _restore_workloads(deps: Deps) -> None:
    """Read every promise's state, and what may be recalled, before the first request needs it:
    that may take its time."""
    for workload, configured in _configured_workloads(deps.settings):
        if configured.promise is not None and configured.effective_policy == "promise":
            deps.promises.account(workload, configured.promise)
        if configured.budget is not None and configured.effective_policy == "budget":
            deps.budgets.purse(workload, configured.budget)
        if configured.effective_recall is not None:
            deps.recall.memory(workload, configured.effective_recall)


def _configured_workloads(settings: Settings) -> Iterator[tuple[str, WorkloadSettings]]:
    """Each with the identity that it has for each tenant."""
    for configured in settings.workloads:
        for tenant in {key.tenant for key in settings.keys} or {""}:
            yield find_workload(settings, {}, configured.name, tenant)[0], configured


async def _follow_config(app: FastAPI, file: ConfigFollower) -> None:
    """Take up what the file says, some time after it has changed; what is wrong is told once."""
    told: str | None = None
    while True:
        await asyncio.sleep(_LOOK_S)
        try:
            settings = await run_in_threadpool(file.look)
            if settings is not None:
                _take_up_settings(app, settings)
        except Exception as error:  # noqa: BLE001 - the follower must outlive whatever it meets
            file.problem = str(error) or type(error).__name__
        if file.problem is not None and file.problem != told:
            _log.error("%s", explain_refusal(file.problem))
            app.state.deps.metrics.add_config_change(taken_up=False)
        told = file.problem


def _take_up_settings(app: FastAPI, settings: Settings) -> None:
    """Put other settings in force, in one step for every request that is still to come."""
    deps = take_up(app.state.deps, settings)
    configured = dict(_configured_workloads(deps.settings))
    deps.promises.keep_only(
        {
            workload: (one.promise, one.slices)
            for workload, one in configured.items()
            if one.promise is not None and one.effective_policy == "promise"
        }
    )
    deps.budgets.keep_only(
        {
            workload: one.budget
            for workload, one in configured.items()
            if one.budget is not None and one.effective_policy == "budget"
        }
    )
    _restore_workloads(deps)
    app.state.deps = deps
    deps.metrics.add_config_change(taken_up=True)
    _show_releases(deps, set(deps.releases.all()))
    _log.warning("The changed configuration is in force.")


async def _follow_releases(app: FastAPI) -> None:
    """Take up what was promoted, twice a second; a failure is told once."""
    told: str | None = None
    while True:
        problem = await _take_up_releases(app.state.deps)
        if problem is not None and problem != told:
            _log.error("Releases could not be followed: %s", problem)
        told = problem
        await asyncio.sleep(_FOLLOW_S)


async def _take_up_releases(deps: Deps) -> str | None:
    """Follow the store's pointers; a release that can't be loaded or whose student isn't ready
    leaves the one in force where it is, and the reason is returned."""
    problem: str | None = None
    before = set(deps.releases.all())
    try:
        wanted, damaged = await run_in_threadpool(deps.releases.look)
        problem = None if damaged is None else str(damaged)
        ready: dict[str, Release] = {}
        for workload, release in wanted.items():
            current = deps.releases.get(workload)
            try:
                if release is not current:
                    await deps.drafter.prepare(release)
                ready[workload] = release
            except TutelageError as error:
                problem = str(error)
                if current is not None:
                    ready[workload] = current
        deps.releases.swap(ready)
    except TutelageError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 - the follower must outlive whatever it meets
        problem = f"{type(error).__name__}: {error}"
    _show_releases(deps, before)
    return problem


async def _tend_students(app: FastAPI) -> None:
    """Keep at hand what may be put in force next, so that a change of release waits for nothing."""
    while app.state.deps.settings.generative_student is not None:
        deps: Deps = app.state.deps
        try:
            await deps.drafter.tend(await run_in_threadpool(deps.releases.neighbours))
        except Exception as error:  # noqa: BLE001 - as above
            _log.error("The students could not be tended: %s", error)
        await asyncio.sleep(_FOLLOW_S)


def _show_releases(deps: Deps, before: set[str]) -> None:
    """Tell the metrics what serves; ``before``: workloads that had a release until now."""
    active = deps.releases.all()
    configured = dict(_configured_workloads(deps.settings))
    for workload in before | active.keys() | configured.keys():
        release, settings = active.get(workload), configured.get(workload)
        student = "none"
        if release is not None and release.student is not None:
            kind = "embedded" if isinstance(release.student, EmbeddedStudent) else "openai"
            student = f"{kind}@{release.digest[:12]}"
        policy = "teacher" if settings is None else settings.effective_policy
        deps.metrics.set_release(workload, student=student, policy=policy)


async def _finish_background(deps: Deps) -> None:
    """Give audits time to end; those that don't are recorded as they stand."""
    if deps.background:
        _, late = await asyncio.wait(deps.background, timeout=_DRAIN_S)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _write_error(request: Request, error: ApiError) -> Response:
    """The error in the shape of the form that is spoken at the request's address."""
    headers = {**error.headers, "content-type": "application/json"}
    if error.status == 429 and error.headers.get("x-should-retry") != "false":
        headers.setdefault("retry-after", _RETRY_AFTER_S)  # an upstream may not have said
    body = write_error(form_at(request.url.path), error)
    return Response(body, status_code=error.status, headers=headers)


async def _answer_api_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, ApiError):
        raise error
    return _write_error(request, error)


async def _answer_store_error(request: Request, error: Exception) -> Response:
    headers = {"retry-after": _RETRY_AFTER_S}
    return _write_error(
        request, ApiError(f"{error}.", status=503, code="store_failed", headers=headers)
    )


async def _answer_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    sentence = f"{error.detail}: {request.method} {request.url.path}"
    return _write_error(request, BadRequest(sentence, status=error.status_code))


async def _answer_bug(request: Request, error: Exception) -> Response:
    return _write_error(request, ApiError("The gateway failed on this request; its log says why."))
