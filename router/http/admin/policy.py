"""A workload's policy: the one in force, where it comes from, and another in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from router.deciding.plugins import load_policies
from router.deps import Deps
from router.errors import BadRequest, ConfigError, NotFound
from router.following import take_up_stored
from router.http.admin.given import Given, read_given
from router.http.admin.workloads import name_source
from router.overlay import CHANGEABLE, Overlay, Unfit, change_workload
from router.settings.model import Settings, WorkloadSettings


async def show_policy(request: Request) -> dict[str, Any]:
    """What is in force, what the file says, and every version that there was."""
    overlay: Overlay = request.app.state.overlay
    deps: Deps = request.app.state.deps
    name = request.path_params["workload"]
    filed = _require(overlay.filed, name)
    newest = overlay.versions.get(name)
    in_force = _require(deps.settings, name)
    history = await run_in_threadpool(deps.store.policy_history, name)
    return {
        "workload": name,
        "version": None if newest is None else newest.version,
        "source": name_source(overlay, name),
        "policy": in_force.effective_policy,
        "in_force": _write(in_force),
        "file": _write(filed),
        "problem": overlay.problems.get(name),
        "history": [asdict(version) for version in history],
    }


async def change_policy(request: Request) -> dict[str, Any]:
    """Store the next version and put it in force: the answer says what then is."""
    given = await read_given(request, CHANGEABLE)
    if not given.more:
        listed = ", ".join(CHANGEABLE)
        raise BadRequest(f"Give what is to change: {listed}.", code="missing_required_parameter")
    overlay: Overlay = request.app.state.overlay
    name = request.path_params["workload"]
    _require(overlay.filed, name)
    try:
        await run_in_threadpool(_check, overlay, name, given.more)
    except Unfit as error:
        raise BadRequest(str(error), param=error.name or None, code="invalid_value") from None
    except ConfigError as error:  # a plug-in
        raise BadRequest(str(error), param="policy", code="invalid_value") from None
    return await _enter(request, name, given, given.more)


async def go_back_to_file(request: Request) -> dict[str, Any]:
    """Store that the file's settings are in force again, as a version of its own."""
    given = await read_given(request)
    overlay: Overlay = request.app.state.overlay
    name = request.path_params["workload"]
    _require(overlay.filed, name)
    newest = overlay.versions.get(name)
    if newest is None or newest.change is None:
        raise BadRequest(
            f"The policy of workload {name!r} comes from the file already.",
            status=409,
            code="not_possible",
        )
    return await _enter(request, name, given, None)


def _check(overlay: Overlay, name: str, change: Mapping[str, Any]) -> None:
    """Blocks. Raises Unfit or ConfigError."""
    load_policies(change_workload(overlay.filed, name, change, workers=overlay.workers))


async def _enter(
    request: Request, name: str, given: Given, change: Mapping[str, Any] | None
) -> dict[str, Any]:
    deps: Deps = request.app.state.deps
    store = partial(deps.store.add_policy, author=given.author, reason=given.reason)
    await run_in_threadpool(store, name, change)
    await take_up_stored(request.app)
    return await show_policy(request)


def _require(settings: Settings, name: str) -> WorkloadSettings:
    found = next((one for one in settings.workloads if one.name == name), None)
    if found is None:
        listed = ", ".join(one.name for one in settings.workloads) or "none"
        raise NotFound(
            f"The workload {name!r} is not in the configuration file; there are: {listed}.",
            code="workload_not_found",
        )
    return found


def _write(settings: WorkloadSettings) -> dict[str, Any]:
    return settings.model_dump(mode="json", include=set(CHANGEABLE))
