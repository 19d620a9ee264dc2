"""How an application is told that its verdict on an answer is wanted, and until when."""

from __future__ import annotations

from typing import Any

from policies.promise.accuracy import VERDICT
from router.outcome import Outcome
from router.record.model import Interaction
from router.record.store import Store
from router.settings.model import Settings
from router.workload import find_settings

_HEADER = "x-tutelage-verdict"


def ask_for_verdict(outcome: Outcome) -> dict[str, str]:
    """The header of an answer that was drawn; none where somebody else stood in for the teacher,
    whose verdict would say nothing about it."""
    wanted = outcome.ask.reason == VERDICT and outcome.is_teachers
    return {_HEADER: "wanted"} if wanted else {}


def describe_verdict(store: Store, settings: Settings, record: Interaction) -> dict[str, Any]:
    """``verdict`` of an interaction that was drawn: whether it is still ``wanted``, and ``until``
    when, in seconds since the epoch. Blocks."""
    configured = find_settings(settings, record.workload)
    promise = None if configured is None else configured.promise
    if promise is None or promise.accuracy is None or record.reason != VERDICT or not record.seen:
        return {}
    within_s = promise.effective_verdicts.within
    wanted = store.waits_for_verdict(record, within_s)
    return {"verdict": {"wanted": wanted, "until": int(record.created_at + within_s)}}
