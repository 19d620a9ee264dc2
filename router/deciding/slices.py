"""Which slices of its workload an interaction belongs to, and what is promised of each.

With k accounts, those of the slices and that of the whole workload, each is kept at a confidence of
1 − δ/k: that any of them is broken then has a probability of at most δ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from policies.promise.certificate import Terms
from router.auth import Caller
from router.settings.model import PromiseSettings, WorkloadSettings
from router.settings.slices import SliceMatch, SliceSettings
from router.wire.openai import system_prompt, user_messages


def find_slices(
    settings: WorkloadSettings | None, body: Mapping[str, Any], caller: Caller
) -> tuple[SliceSettings, ...]:
    """The slices that a request belongs to, in the order of the configuration."""
    if settings is None or not settings.slices:
        return ()
    return tuple(one for one in settings.slices if _fits(one.match, body, caller))


def terms_of_whole(promise: PromiseSettings, slices: Sequence[SliceSettings]) -> Terms:
    """What the workload's own account proves."""
    return Terms(
        agreement=promise.agreement,
        accuracy=promise.accuracy,
        within_s=0.0 if promise.accuracy is None else promise.effective_verdicts.within,
        confidence=_share_confidence(promise.confidence, len(slices)),
        over=promise.over,
    )


def terms_of_slice(
    one: SliceSettings, promise: PromiseSettings, slices: Sequence[SliceSettings]
) -> Terms:
    """What the slice's account proves."""
    return Terms(
        agreement=one.agreement or promise.at_least,
        confidence=_share_confidence(promise.confidence, len(slices)),
        over=promise.over,
    )


def name_evidence(one: SliceSettings, account_key: str) -> str:
    """What evidence for a slice belongs to: its terms, and what it matches."""
    match = hashlib.sha256(one.match.model_dump_json().encode()).hexdigest()[:16]
    return f"{account_key}:{match}"


def _share_confidence(confidence: float, slices: int) -> float:
    # Left as it is without slices: 1 − (1 − c) is not c, and evidence is kept by its terms.
    return 1.0 - (1.0 - confidence) / (1 + slices) if slices else confidence


def _fits(match: SliceMatch, body: Mapping[str, Any], caller: Caller) -> bool:
    said = user_messages(body)
    last = said[-1] if said else ""
    metadata = body.get("metadata")
    values = metadata if isinstance(metadata, Mapping) else {}
    wanted = match.metadata or {}
    return (
        _fits_one(match.user_message, last, fold=True)
        and (match.min_chars or 0) <= len(last)
        and (match.max_chars is None or len(last) <= match.max_chars)
        and (match.min_turns or 0) <= len(said)
        and (match.system_prompt is None or _fits_one(match.system_prompt, system_prompt(body)))
        and _fits_one(match.key, caller.key_name)
        and _fits_one(match.tenant, caller.tenant)
        and all(name in values and _fits_one(wanted[name], str(values[name])) for name in wanted)
    )


def _fits_one(globs: Sequence[str] | None, text: str, *, fold: bool = False) -> bool:
    if globs is None:
        return True
    if fold:
        text, globs = text.casefold(), [glob.casefold() for glob in globs]
    return any(fnmatchcase(text, glob) for glob in globs)
