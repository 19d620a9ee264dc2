"""Workloads as they stand, and what other thresholds of theirs would bring."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from router.deciding.frontier import NotYet, read_frontier
from router.deps import Deps
from router.errors import BadRequest, NotFound
from router.http.standings import Standings, read_standings
from router.meter.money import usd
from router.overlay import Overlay
from router.settings.model import Settings, WorkloadSettings
from router.ui.standing import describe_workloads
from router.workload import list_identities


async def list_all_workloads(request: Request) -> dict[str, Any]:
    """Each that is configured, once per tenant where they are apart, then those that only have
    traffic."""
    deps: Deps = request.app.state.deps
    overlay: Overlay = request.app.state.overlay
    configured = {
        name: one for one in deps.settings.workloads for name in list_identities(deps.settings, one)
    }
    known = [one.model_copy(update={"name": name}) for name, one in configured.items()]
    standings = read_standings(deps, known)
    active = {name: release.digest for name, release in deps.releases.all().items()}
    found = await run_in_threadpool(partial(_describe, deps, known, standings, active))
    for entry in found:
        one = configured.get(entry["workload"])
        entry["name"] = None if one is None else one.name
        entry["policy_source"] = "file" if one is None else name_source(overlay, one.name)
    return {"object": "list", "data": found}


def name_source(overlay: Overlay, workload: str) -> str:
    """Where the policy in force comes from: ``admin`` or ``file``."""
    version = overlay.versions.get(workload)
    laid = version is not None and version.change is not None
    return "admin" if laid and workload not in overlay.problems else "file"


def _describe(
    deps: Deps, known: list[WorkloadSettings], standings: Standings, active: dict[str, str]
) -> list[dict[str, Any]]:
    names = {one.name for one in known}
    observed = [
        WorkloadSettings(name="-").model_copy(update={"name": name})
        for name in deps.store.workloads()
        if name not in names
    ]
    shown = Settings.model_construct(workloads=(*known, *observed))
    outlooks = standings.look_ahead(deps.store, names)
    data: dict[str, dict[str, Any]] = {}
    for entry in describe_workloads(shown, standings.readings, active, None, outlooks):
        name = entry["workload"]
        if entry["slice"] is None:
            data[name] = {
                "workload": name,
                "policy": entry["policy"],
                "release": active.get(name),
                "standing": entry,
                "slices": [],
            }
        else:
            data[name]["slices"].append(entry)
    return [*data.values()]


async def show_frontier(request: Request) -> dict[str, Any]:
    """What every threshold would bring; ``?usd_per_interaction=`` marks the best within it,
    ``?newest=`` looks at that many interactions alone."""
    deps: Deps = request.app.state.deps
    workload = request.path_params["workload"]
    budget = request.query_params.get("usd_per_interaction")
    try:
        amount = None if budget is None else usd(budget)
    except ValueError:
        amount = usd("-1")
    if amount is not None and amount < 0:
        raise BadRequest(
            "'usd_per_interaction' must be an amount of USD such as 0.005.",
            param="usd_per_interaction",
            code="invalid_value",
        )
    if workload not in await run_in_threadpool(deps.store.workloads):
        raise NotFound(f"Nothing is logged for workload {workload!r}.", code="workload_not_found")
    newest = request.query_params.get("newest")
    if newest is not None and not (newest.isdecimal() and len(newest) <= 18 and int(newest) > 0):
        message = "'newest' must be a number of interactions."
        raise BadRequest(message, param="newest", code="invalid_value")
    read = partial(read_frontier, newest=None if newest is None else int(newest))
    try:
        found = await run_in_threadpool(read, deps.store, deps.settings, workload, amount)
    except NotYet as error:
        raise BadRequest(str(error), status=409, code="not_yet") from None
    return found.to_json()
