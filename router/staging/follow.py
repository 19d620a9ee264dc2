"""Brings what was seen to the store, judges it there, and does here what the store says."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from functools import partial

from starlette.concurrency import run_in_threadpool

from router.deps import Deps
from router.errors import ReleaseError, TutelageError
from router.record.store import Store
from router.release import Canary, Release
from router.staging.judge import judge
from router.staging.keeper import OnTrial
from router.staging.stage import Sighting, Stage, take_in

_SALT = "canary"


async def take_up_stages(deps: Deps) -> str | None:
    """One round; returns what stood in the way. A candidate that can't be loaded, or whose student
    isn't ready, isn't let out here."""
    try:
        await run_in_threadpool(_judge_all, deps.store, deps.staging.take(), time.time())
        staged, problem = await run_in_threadpool(_look, deps)
        for workload, (release, _) in staged.items():
            known = deps.staging.trials.get(workload)
            if known is None or known.candidate is not release:
                await deps.drafter.prepare(release)
        salt = b""
        if any(stage.kind == "canary" for _, stage in staged.values()):
            salt = (await run_in_threadpool(deps.store.secret, _SALT)).encode()
        _let_out(deps, staged, salt)
    except TutelageError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the follower must outlive whatever it meets
        return f"{type(error).__name__}: {error}"
    return problem


def _judge_all(store: Store, seen: Mapping[str, Sequence[Sighting]], now: float) -> None:
    for digest, sightings in seen.items():
        store.fold_stage(digest, partial(take_in, sightings=sightings))
    for release in store.staged():
        judged = judge(store, release, now)
        if judged is not None:
            store.move_stage(release, judged.rungs, judged.to, judged.reason)


def _look(deps: Deps) -> tuple[dict[str, tuple[Release, Stage]], str | None]:
    """What is on trial by workload, loaded, and why a part of it can't be."""
    staged: dict[str, tuple[Release, Stage]] = {}
    problem: str | None = None
    for row in deps.store.staged():
        try:
            release = deps.releases.load(row.digest)
        except ReleaseError as error:
            problem = str(error)
            continue
        staged[row.workload] = release, Stage.restore(row.report["stage"])
    return staged, problem


def _let_out(deps: Deps, staged: Mapping[str, tuple[Release, Stage]], salt: bytes) -> None:
    """Put it in force here, in one step for every request that is still to come."""
    now, known = time.time(), deps.staging.trials
    trials: dict[str, OnTrial] = {}
    for workload, (release, stage) in staged.items():
        in_force = deps.releases.get(workload)
        if in_force is None or in_force.digest != stage.in_force:
            continue  # the one it is held against isn't in force here yet, or no more
        before = known.get(workload)
        same = before is not None and (before.candidate, before.kind, before.share) == (
            *(release, stage.kind),
            stage.share,
        )
        trials[workload] = OnTrial(
            kind=stage.kind,
            candidate=release,
            in_force=in_force,
            share=stage.share,
            since=before.since if before is not None and same else now,
        )
    deps.staging.follow(trials)
    deps.releases.let_out(
        {
            workload: Canary(release=trial.candidate, share=trial.share, salt=salt)
            for workload, trial in trials.items()
            if trial.kind == "canary"
        }
    )
