"""What goes on beside the requests: the gateway follows its file, its releases, its students, its
store and the workers beside it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

from policies.types import Trial
from router.alarms import follow_alarms
from router.deps import Deps
from router.errors import StoreError, TutelageError
from router.overlay import Overlay, lay_over, list_valid
from router.record.journal import Journal
from router.record.recovery import adopt
from router.record.store import Store
from router.release import Release
from router.reload import ConfigFollower, explain_refusal, take_up
from router.retention import keep_retention
from router.settings.model import Settings, WorkloadSettings
from router.staging.follow import take_up_stages
from router.students.embedded import EmbeddedStudent
from router.workload import find_workload

_log = logging.getLogger("tutelage")

_FOLLOW_S = 0.5
_LOOK_S = 0.5
_ADOPT_S = 5.0
_SHARE_S = 1.0
_MOST_TRIALS = 10_000


def start_followers(app: FastAPI, journal: Journal | None) -> list[asyncio.Task[None]]:
    """What goes on beside the requests, until it is cancelled."""
    deps: Deps = app.state.deps
    going_on = [
        _follow_releases(app),
        _follow_stages(app),
        _tend_students(app),
        _follow_stored(app),
        follow_alarms(app),
        keep_retention(deps.store, deps.settings.data.retention_days),
        _follow_promises(app),
    ]
    if app.state.config_file is not None:
        going_on.append(_follow_config(app, app.state.config_file))
    if journal is not None:
        going_on.append(_follow_journals(deps, journal))
    if deps.metrics.is_shared:
        going_on.append(_share_metrics(app))
    return [asyncio.create_task(one) for one in going_on]


async def _share_metrics(app: FastAPI) -> None:
    """Show the workers beside this one what it has counted, once more at its end. What that takes
    is at most a fiftieth of the time."""
    try:
        while True:
            began_s = time.monotonic()
            show_requests(app.state.deps)
            with suppress(OSError):  # told to whoever asks for the page
                await run_in_threadpool(app.state.deps.metrics.share)
            await asyncio.sleep(max(_SHARE_S, 50 * (time.monotonic() - began_s)))
    finally:
        with suppress(OSError):
            app.state.deps.metrics.share()


def show_requests(deps: Deps) -> None:
    """Tell the metrics how much there is to do now."""
    deps.metrics.set_requests(running=deps.admission.in_flight, waiting=deps.admission.waiting)


def adopt_journals(deps: Deps, journal: Journal) -> None:
    adopt(journal.folder, deps.store, count_lost=deps.metrics.add_dropped)


async def _follow_journals(deps: Deps, journal: Journal) -> None:
    """Take over what a process that was killed left behind; while the store fails it waits."""
    while True:
        await asyncio.sleep(_ADOPT_S)
        with suppress(StoreError):
            await run_in_threadpool(adopt_journals, deps, journal)


async def _follow_promises(app: FastAPI) -> None:
    """Take in what all workers have seen, and verdicts; while the store fails it waits. Of a
    workload with something in it that can't be taken in nothing is served on what was proven."""
    unreadable: dict[str, str] = {}
    while True:
        await asyncio.sleep(_FOLLOW_S)
        deps: Deps = app.state.deps
        for workload, unread in deps.promises.followed().items():
            try:
                trials = await run_in_threadpool(_read_trials, unread)
                snapshot = deps.promises.take_in(workload, trials)
                if snapshot is not None:
                    await run_in_threadpool(deps.store.keep_promise, workload, snapshot)
                unreadable.pop(workload, None)
            except StoreError:
                continue
            except Exception as error:  # noqa: BLE001 - one row must not stop all promises
                deps.promises.hold_back(workload)
                if unreadable.get(workload) != str(error):  # once, not every second
                    unreadable[workload] = str(error)
                    _log.exception("What came of workload %s can't be taken in.", workload)


def _read_trials(unread: Iterator[tuple[int, Trial]]) -> list[tuple[int, Trial]]:
    return [*islice(unread, _MOST_TRIALS)]


def restore_workloads(deps: Deps) -> None:
    """Read every promise's state, what may be recalled, and further models' gates, before the first
    request needs it: that may take its time."""
    for workload, configured in _configured_workloads(deps.settings):
        if configured.promise is not None and configured.effective_policy == "promise":
            deps.promises.account(workload, configured.promise, configured.slices)
        if configured.budget is not None and configured.effective_policy == "budget":
            deps.budgets.purse(workload, configured.budget)
        if configured.effective_recall is not None:
            deps.recall.memory(workload, configured.effective_recall)
        if deps.rungs is not None and configured.effective_rungs:
            deps.rungs.open(workload)


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
                overlay: Overlay = app.state.overlay
                _put_in_force(app, replace(overlay, filed=settings))
                app.state.deps.metrics.add_config_change(taken_up=True)
                _log.warning("The changed configuration is in force.")
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
    deps.promises.pools.follow(deps.settings)
    deps.budgets.keep_only(
        {
            workload: one.budget
            for workload, one in configured.items()
            if one.budget is not None and one.effective_policy == "budget"
        }
    )
    restore_workloads(deps)
    app.state.deps = deps
    _show_releases(deps, set(deps.releases.all()))


def _put_in_force(app: FastAPI, wanted: Overlay) -> None:
    """Lay what the store keeps over the file anew."""
    overlay = lay_over(wanted.filed, wanted.versions, wanted.keys, workers=wanted.workers)
    _take_up_settings(app, overlay.settings)
    app.state.overlay = overlay
    for problem in overlay.problems.values():
        _log.error("%s", problem)


async def take_up_stored(app: FastAPI) -> None:
    """Put in force what the store says of policies and keys, if it isn't yet; a key that has
    expired is one that isn't there. Raises TutelageError."""
    async with app.state.policy_turn:  # an older reading must not come after a newer one
        store: Store = app.state.deps.store
        versions = await run_in_threadpool(store.newest_policies)
        keys = await run_in_threadpool(store.keys)
        overlay: Overlay = app.state.overlay
        wanted = replace(overlay, versions=versions, keys=keys)
        if wanted != overlay or list_valid(keys) != list_valid(overlay.keys, overlay.at_s):
            _put_in_force(app, wanted)


async def _follow_stored(app: FastAPI) -> None:
    """Take up what another worker or command stored, twice a second; a failure is told once."""
    told: str | None = None
    while True:
        await asyncio.sleep(_FOLLOW_S)
        problem: str | None = None
        try:
            await take_up_stored(app)
        except Exception as error:  # noqa: BLE001 - the follower must outlive whatever it meets
            problem = str(error) or type(error).__name__
        if problem is not None and problem != told:
            _log.error("Policies and keys could not be followed: %s", problem)
        told = problem


async def _follow_releases(app: FastAPI) -> None:
    """Take up what was promoted, twice a second; a failure is told once."""
    told: str | None = None
    while True:
        problem = await take_up_releases(app.state.deps)
        if problem is not None and problem != told:
            _log.error("Releases could not be followed: %s", problem)
        told = problem
        await asyncio.sleep(_FOLLOW_S)


async def _follow_stages(app: FastAPI) -> None:
    """Judge what is on trial, twice a second, and let it draft or not; a failure is told once."""
    told: str | None = None
    while True:
        await asyncio.sleep(_FOLLOW_S)
        deps: Deps = app.state.deps
        problem = await take_up_stages(deps)
        if problem is not None and problem != told:
            _log.error("What is on trial could not be followed: %s", problem)
        told = problem


async def take_up_releases(deps: Deps) -> str | None:
    """Follow the store's pointers; a release that can't be loaded or whose student isn't ready
    leaves the one in force where it is, and the reason is returned."""
    async with deps.releases.turn:
        return await _take_up_releases(deps)


async def _take_up_releases(deps: Deps) -> str | None:
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
