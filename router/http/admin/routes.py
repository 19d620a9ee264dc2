"""The addresses, each behind the admin key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from router.auth import authenticate_admin
from router.deps import Deps
from router.http.admin.interactions import (
    decide_anew,
    list_interactions,
    show_interaction,
)
from router.http.admin.keys import list_all_budgets, list_keys, list_spending
from router.http.admin.learning import list_cycles, list_learned
from router.http.admin.policy import change_policy, go_back_to_file, show_policy
from router.http.admin.releases import list_releases, promote_release, roll_back_workload
from router.http.admin.workloads import list_all_workloads, show_frontier

Handler = Callable[[Request], Awaitable[object]]
"""Returns what is answered as JSON."""

_OF_WORKLOAD = "/admin/v1/workloads/{workload:path}"


def admin_routes() -> list[Route]:
    """The admin API of one gateway; ``app.state`` is read per request."""
    return [
        _route("/admin/v1/releases", list_releases),
        _route("/admin/v1/releases/{digest}/promote", promote_release, "POST"),
        _route("/admin/v1/workloads", list_all_workloads),
        _route(f"{_OF_WORKLOAD}/rollback", roll_back_workload, "POST"),
        _route(f"{_OF_WORKLOAD}/policy", show_policy),
        _route(f"{_OF_WORKLOAD}/policy", change_policy, "PUT"),
        _route(f"{_OF_WORKLOAD}/policy", go_back_to_file, "DELETE"),
        _route(f"{_OF_WORKLOAD}/frontier", show_frontier),
        _route("/admin/v1/keys", list_keys),
        _route("/admin/v1/budgets", list_all_budgets),
        _route("/admin/v1/spending", list_spending),
        _route("/admin/v1/cycles", list_cycles),
        _route("/admin/v1/learned", list_learned),
        _route("/admin/v1/interactions", list_interactions),
        _route("/admin/v1/interactions/{id}", show_interaction),
        _route("/admin/v1/interactions/{id}/decide", decide_anew, "POST"),
    ]


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    async def answer(request: Request) -> Response:
        """The handler's answer, to the operator alone."""
        deps: Deps = request.app.state.deps
        authenticate_admin(deps.settings, request.headers)
        return JSONResponse(await handler(request), headers={"cache-control": "no-store"})

    return Route(path, answer, methods=[method])
