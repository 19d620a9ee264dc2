"""``/ui``: the dashboard's page, its files, and the data behind it.

The page and its files hold nothing of anybody. The data needs the admin key, or a caller's where
there is no admin key and all callers are one tenant's. Where no keys are configured, it is only
given under a name of this machine: a foreign website can make a name of its own point here (DNS
rebinding), and would then count as the same origin.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from router.auth import authenticate, authenticate_admin
from router.deps import Deps
from router.errors import ApiError, Forbidden, StoreError
from router.http.standings import Standings, read_standings
from router.settings.model import Settings
from router.ui.notes import SinkReading
from router.ui.view import build_view

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_ASSETS: Final = (
    *("page.css", "pages.css", "icon.svg", "page.js", "overview.js", "frontier.js", "plane.js"),
    *(
        "interactions.js",
        "interaction.js",
        "learning.js",
        "learned.js",
        "keys.js",
        "sign.js",
        "net.js",
    ),
    *("outlooks.js", "dom.js", "chart.js", "format.js", "table.js"),
)

_FRESH_S = 1.0
_REST = 9.0
"""A view is kept for this many times as long as it took to build, for each view that is looked at,
so that open pages keep the store busy for about a tenth of the time, however much it holds and
however many of them there are."""
_LOOKED_AT_S = 60.0
MOST_VIEWS = 16


def dashboard_routes() -> list[Route]:
    """The routes of one gateway's dashboard; ``app.state.deps`` is read per request."""
    views = ViewCache(time.monotonic)

    async def send_data(request: Request) -> Response:
        """The view of ``?workload=NAME``, or of all workloads."""
        deps: Deps = request.app.state.deps
        check_access(deps.settings, request)
        workload = request.query_params.get("workload") or None
        body = await views.get(workload, lambda: _build(deps, workload))
        headers = {**_HEADERS, "content-type": "application/json", "cache-control": "no-store"}
        return Response(body, headers=headers)

    return [
        Route("/ui", _serve("page.html", "text/html; charset=utf-8")),
        Route("/ui/data", send_data),
        *(Route(f"/ui/{name}", _serve(name, _TYPES[name.split(".")[1]])) for name in _ASSETS),
    ]


def _serve(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    body = files("router.ui").joinpath(name).read_bytes()

    async def send_file(request: Request) -> Response:
        """One of the page's files; the same for everybody."""
        return Response(body, headers={**_HEADERS, "content-type": media_type})

    return send_file


def check_access(settings: Settings, request: Request) -> None:
    """Raises ApiError for whom the data isn't meant."""
    if settings.admin is not None:
        authenticate_admin(settings, request.headers)
        return
    authenticate(settings, request.headers, request.url.path)
    if len({key.tenant for key in settings.keys}) > 1:
        raise Forbidden(
            "The dashboard shows the traffic of all tenants, so it needs an admin key where there"
            " are several: configure admin: {key_env: ADMIN_KEY}.",
            code="admin_key_required",
        )


class _Kept(NamedTuple):
    body: bytes
    until_s: float


class ViewCache:
    """Views as JSON, built one at a time and kept for a while. Used from one event loop.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[str | None, _Kept] = OrderedDict()
        self._turn = asyncio.Lock()

    async def get(self, workload: str | None, build: Callable[[], Awaitable[bytes]]) -> bytes:
        """The view of ``workload`` (None: of all), from ``build`` where none is fresh.

        What ``build`` raises is passed on and not kept.
        """
        async with self._turn:
            began_s = self._clock()
            kept = self._kept.get(workload)
            if kept is not None and began_s < kept.until_s:
                return kept.body
            body = await build()
            ended_s = self._clock()
            others = [
                one
                for name, one in self._kept.items()
                if name != workload and one.until_s > ended_s - _LOOKED_AT_S
            ]
            rest_s = max(_FRESH_S, _REST * (ended_s - began_s) * (1 + len(others)))
            self._kept[workload] = _Kept(body, ended_s + rest_s)
            self._kept.move_to_end(workload)
            if len(self._kept) > MOST_VIEWS:
                self._kept.popitem(last=False)
            return body


async def _build(deps: Deps, workload: str | None) -> bytes:
    sink = SinkReading(dropped=deps.sink.dropped, waiting=deps.sink.lag)

    def build(standings: Standings) -> bytes:
        shown = {workload} if workload is not None else standings.readings.keys()
        view = build_view(
            deps.store,
            deps.settings,
            workload,
            readings=standings.readings,
            sink=sink,
            at=time.time(),
            outlooks=standings.look_ahead(deps.store, shown),
        )
        return json.dumps(view, allow_nan=False).encode()

    try:
        return await run_in_threadpool(build, read_standings(deps, deps.settings.workloads))
    except StoreError as error:
        raise ApiError(
            f"The dashboard can't read the store: {error}.",
            status=503,
            code="store_failed",
        ) from error
