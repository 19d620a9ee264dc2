"""What a client asks of the gateway itself, under a body's key ``tutelage``."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from policies.types import Tier
from router.wire.fields import invalid, read_flag, wrong_type

_OPTION_KEYS = frozenset({"workload", "force", "store", "max_cost_usd"})
_FORCIBLE = {"teacher": Tier.TEACHER, "student": Tier.STUDENT}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a client asks of the gateway for one request, under the body's key ``tutelage``.

    ``force``: teacher or student, whatever the policy says; ``store``: the interaction may be kept;
    ``max_cost_usd``: the request may cost at most this much.
    """

    workload: str | None = None
    force: Tier | None = None
    store: bool = True
    max_cost_usd: Decimal | None = None


def read_options(given: Any) -> Options:
    """The options, defaults where there are none. Raises ``BadRequest``."""
    if given is None:
        return Options()
    if not isinstance(given, dict):
        raise wrong_type("tutelage", "an object", given)
    for key in given:
        if key not in _OPTION_KEYS:
            raise invalid(f"tutelage.{key[:100]}", "unknown_parameter", "Unknown parameter: {}.")
    workload = given.get("workload")
    if workload is not None and not isinstance(workload, str):
        raise wrong_type("tutelage.workload", "a string", workload)
    if workload == "":
        raise invalid("tutelage.workload", "invalid_value", "{} must not be empty.")
    return Options(
        workload=workload,
        force=_read_force(given.get("force")),
        store=read_flag(given, "store", default=True, prefix="tutelage."),
        max_cost_usd=_read_max_cost(given.get("max_cost_usd")),
    )


def _read_force(force: Any) -> Tier | None:
    if force is None:
        return None
    if not isinstance(force, str):
        raise wrong_type("tutelage.force", "a string", force)
    if force not in _FORCIBLE:
        raise invalid("tutelage.force", "invalid_value", "{} must be 'teacher' or 'student'.")
    return _FORCIBLE[force]


def _read_max_cost(given: Any) -> Decimal | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise wrong_type("tutelage.max_cost_usd", "a number", given)
    if given < 0:
        raise invalid("tutelage.max_cost_usd", "invalid_value", "{} must not be negative.")
    return Decimal(str(given))
