"""Releases: which there are, which is in force, and going forth and back."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from router.deps import Deps
from router.errors import ApiError, BadRequest, NotFound, ReleaseError
from router.following import take_up_releases
from router.http.admin.given import read_given
from router.promotion import NotPossible, UnknownRelease, promote, roll_back
from router.record.model import Release


async def list_releases(request: Request) -> dict[str, Any]:
    """All of them, or those of ``?workload=``, newest first, with what was done to each and why."""
    deps: Deps = request.app.state.deps
    workload = request.query_params.get("workload")
    found = await run_in_threadpool(deps.store.releases, workload)
    events: dict[str, list[Any]] = {one.digest: [] for one in found}
    for event in await run_in_threadpool(deps.store.release_events, workload):
        told = {"action": event.action, "reason": event.reason, "at": event.at}
        events.setdefault(event.digest, []).append(told)
    data = [write_release(one) | {"events": events[one.digest]} for one in found]
    return {"object": "list", "data": data}


async def promote_release(request: Request) -> dict[str, Any]:
    """Put a release in force; the answer comes when it serves here."""
    given = await read_given(request)
    deps: Deps = request.app.state.deps
    digest = request.path_params["digest"]
    try:
        chosen = await run_in_threadpool(promote, deps.store, digest, given.signed_reason)
    except UnknownRelease as error:
        raise NotFound(_as_sentence(error), param="digest", code="release_not_found") from None
    except (NotPossible, ReleaseError) as error:
        raise _conflict(error) from None
    return await _take_up(deps, chosen.workload, chosen)


async def roll_back_workload(request: Request) -> dict[str, Any]:
    """Go back to the release before; without one, to the teacher."""
    given = await read_given(request)
    deps: Deps = request.app.state.deps
    workload = request.path_params["workload"]
    try:
        chosen = await run_in_threadpool(roll_back, deps.store, workload, given.signed_reason)
    except (NotPossible, ReleaseError) as error:
        raise _conflict(error) from None
    return await _take_up(deps, workload, chosen)


def write_release(release: Release) -> dict[str, Any]:
    """What is known of a release, where it lies on this machine apart."""
    known = asdict(release)
    del known["path"]
    return known


async def _take_up(deps: Deps, workload: str, release: Release | None) -> dict[str, Any]:
    problem = await take_up_releases(deps)
    serving = deps.releases.get(workload)
    digest = None if release is None else release.digest
    return {
        "workload": workload,
        "release": digest,
        "serving": None if serving is None else serving.digest,
        "problem": problem,
    }


def _conflict(error: Exception) -> ApiError:
    return BadRequest(_as_sentence(error), status=409, code="not_possible")


def _as_sentence(error: Exception) -> str:
    said = str(error).rstrip(".")
    return f"{said[:1].upper()}{said[1:]}."
