"""Interactions: found, explained, and decided anew under another policy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any, Final, cast, get_args

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from policies.types import Tier
from router.auth import Caller
from router.deps import Deps
from router.errors import BadRequest, NotFound
from router.explain.explanation import explain
from router.explain.planned import plan_request
from router.explain.reasons import REASONS
from router.explain.recorded import read_interaction
from router.http.client import read_body
from router.meter.money import plain_usd, usd
from router.overlay import Overlay, Unfit, change_workload
from router.record.database import dump_json
from router.record.model import Interaction
from router.record.search import Disagreed, Found, Wanted
from router.record.texts import find_words
from router.settings.model import Settings
from router.wire.openai import parse_chat
from router.wire.strict_json import JsonError, load_json
from router.workload import find_settings

_MOST: Final = 200
_USUAL: Final = 50
_MOST_BYTES: Final = 10_000
_STATUS: Final = ("ok", "error", "broken")
_INDEX_S: Final = 0.3
"""How long a search may spend on words that it doesn't know yet."""

_AMOUNT: Final = "an amount of USD such as 0.005"
_BODY: Final = ("policy", "threshold")
_POLICIES: Final = ("threshold", "student", "teacher")
_REPLACED: Final = ("promise", "budget", "slices")
"""What else a workload's settings say of who answers: it doesn't apply under another policy, and a
promise with other terms would begin its proof afresh."""


async def list_interactions(request: Request) -> dict[str, Any]:
    """The newest that fit the query, newest first; ``next`` goes on from there, null at the end;
    ``unindexed``: so many texts are too new to be searched yet, ask again."""
    deps: Deps = request.app.state.deps
    given = request.query_params
    limit = _read(given, "limit", _read_limit, f"a number from 1 to {_MOST}") or _USUAL
    before = _read(given, "before", _read_seq, "the next of an answer")
    wanted = Wanted(
        workload=given.get("workload") or None,
        tier=_read(given, "tier", Tier, _list(Tier)),
        reason=given.get("reason") or None,
        status=_read(given, "status", lambda text: _choose(text, _STATUS), _list(_STATUS)),
        disagreed=_read(given, "disagreed", _read_disagreed, _list(get_args(Disagreed))),
        least_usd=_read(given, "least_usd", _read_usd, _AMOUNT),
        most_usd=_read(given, "most_usd", _read_usd, _AMOUNT),
        words=_read(given, "text", _read_words, "one word or several") or (),
    )
    found, following, unindexed = await run_in_threadpool(_find_all, deps, wanted, limit, before)
    return {
        "object": "list",
        "data": [_write_found(one) for one in found],
        "next": following,
        "unindexed": unindexed,
        "reasons": sorted(REASONS),
    }


def _find_all(
    deps: Deps, wanted: Wanted, limit: int, before: int | None
) -> tuple[Sequence[Found], int | None, int]:
    """What fits, where it goes on, and how many texts weren't looked at since they are new."""
    unindexed = deps.store.index_texts(_INDEX_S) if wanted.words else 0
    found = deps.store.find_interactions(wanted, limit, before)
    return found, deps.store.find_next(wanted, found, limit, before), unindexed


async def show_interaction(request: Request) -> dict[str, Any]:
    """What ``tutelage explain ID --json`` prints, without the promise's standing, and what was said
    of the answer as ``feedback``."""
    deps: Deps = request.app.state.deps
    record = await _find(deps, request)
    said = await run_in_threadpool(deps.store.feedback_of, record.id)
    facts = await run_in_threadpool(read_interaction, deps, record, with_standing=False)
    told = explain(facts).to_json()
    more = {"key_name": record.key_name, "tenant": record.tenant, "request": record.request}
    return _without_nan({**told, **more, "feedback": None if said is None else asdict(said)})


async def decide_anew(request: Request) -> dict[str, Any]:
    """What another policy would do with the interaction's request now: nothing is asked of the
    teacher, delivered or stored."""
    deps: Deps = request.app.state.deps
    overlay: Overlay = request.app.state.overlay
    change = await _read_policy(request)
    record = await _find(deps, request)
    if record.request is None:
        raise BadRequest(
            "The request wasn't stored (store: false), so it can't be decided anew.",
            status=409,
            code="not_possible",
        )
    settings = await run_in_threadpool(_change, overlay, deps.settings, record, change)
    body = json.dumps(dict(record.request)).encode()
    caller = Caller(key_name=record.key_name, tenant=record.tenant, train_on=False)
    apart = replace(deps, settings=settings, ladders={})
    return _without_nan(explain(await plan_request(apart, parse_chat(body), caller)).to_json())


def _change(
    overlay: Overlay, settings: Settings, record: Interaction, change: Mapping[str, Any]
) -> Settings:
    configured = find_settings(settings, record.workload)
    if configured is None:
        raise NotFound(
            f"The workload {record.workload!r} is not in the configuration file, so it has no"
            " policy to change.",
            code="workload_not_found",
        )
    laid = dict.fromkeys(_REPLACED) | dict(change)
    try:
        return change_workload(settings, configured.name, laid, workers=overlay.workers)
    except Unfit as error:
        raise BadRequest(str(error), param=error.name or None, code="invalid_value") from None


async def _find(deps: Deps, request: Request) -> Interaction:
    name = request.path_params["id"].removeprefix("chatcmpl-")
    record = await run_in_threadpool(deps.store.interaction, name)
    if record is None:
        raise NotFound("No such interaction.", code="interaction_not_found")
    return record


async def _read_policy(request: Request) -> dict[str, Any]:
    try:
        body = load_json(await read_body(request.receive, _MOST_BYTES))
    except JsonError as error:
        raise BadRequest(f"The request body {error}.", code="invalid_json") from None
    if not isinstance(body, dict) or not set(body) <= set(_BODY):
        raise BadRequest("Give policy, and threshold where it needs one.", code="invalid_value")
    if body.get("policy") not in _POLICIES:
        listed = ", ".join(_POLICIES)
        raise BadRequest(f"'policy' must be one of {listed}.", param="policy", code="invalid_value")
    return {name: body.get(name) for name in _BODY}


def _read(given: Mapping[str, str], name: str, read: Callable[[str], Any], must_be: str) -> Any:
    """A field of the query by ``read``, which raises ValueError; None where it isn't given."""
    text = given.get(name)
    if not text:
        return None
    try:
        return read(text)
    except ValueError:
        message = f"'{name}' must be {must_be}."
        raise BadRequest(message, param=name, code="invalid_value") from None


def _read_limit(text: str) -> int:
    if not 1 <= int(text) <= _MOST:
        raise ValueError
    return int(text)


def _read_seq(text: str) -> int:
    if not 1 <= int(text) < 2**63:
        raise ValueError
    return int(text)


def _read_words(text: str) -> list[str]:
    words = find_words(text)
    if not words:
        raise ValueError
    return words


def _read_usd(text: str) -> Decimal:
    amount = usd(text)
    if amount < 0:
        raise ValueError
    return amount


def _read_disagreed(text: str) -> Disagreed:
    return cast(Disagreed, _choose(text, get_args(Disagreed)))


def _choose(text: str, known: Sequence[str]) -> str:
    if text not in known:
        raise ValueError
    return text


def _list(known: Iterable[str]) -> str:
    return f"one of {', '.join(known)}"


def _write_found(found: Found) -> dict[str, Any]:
    money = {"cost_usd": found.cost_usd, "teacher_cost_usd": found.teacher_cost_usd}
    return asdict(found) | {name: _write_usd(amount) for name, amount in money.items()}


def _write_usd(amount: Decimal | None) -> str | None:
    return None if amount is None else plain_usd(amount)


def _without_nan(told: Mapping[str, Any]) -> dict[str, Any]:
    """With infinite thresholds, which JSON doesn't know, as null."""
    return dict(json.loads(dump_json(told)))
