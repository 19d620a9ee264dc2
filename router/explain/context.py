"""What recorded and planned decisions have in common: the promise's standing, levels, skips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from policies.promise.certificate import Certificate
from router.deciding.kept import Account
from router.deciding.outlook import look_ahead
from router.deciding.pools import PoolStanding
from router.deciding.promise import PromiseKeeper
from router.explain.explanation import Level
from router.meter.money import plain_usd
from router.record.store import Store
from router.release import Release
from router.settings.model import PromiseSettings, WorkloadSettings
from router.ui.standing import read_account
from router.wire.openai import is_cascadable
from router.wire.profile import profile_of

_NO_SLICES: Final[Mapping[str, Account]] = MappingProxyType({})


def find_promise(settings: WorkloadSettings | None) -> PromiseSettings | None:
    """The promise that the workload's policy keeps, if it keeps one."""
    if settings is None or settings.effective_policy != "promise":
        return None
    return settings.promise


def describe_standing(
    store: Store,
    workload: str,
    promise: PromiseSettings,
    account: Account,
    release: Release | None,
    teacher_cost_usd: Decimal | None,
    slices: Mapping[str, Account] = _NO_SLICES,
    pool: PoolStanding | None = None,
) -> dict[str, Any]:
    """What is promised, what of it is proven, and what is missing; the same of ``slices``, each
    with its part of the confidence. ``pool``: in which the workload may borrow its level. Blocks.
    """
    standing = _describe_account(account, pool)
    if pool is not None:
        standing["pool"] = asdict(pool)
    outlook = look_ahead(store, workload, account, release, teacher_cost_usd)
    standing |= {"confidence": promise.confidence, "outlook": asdict(outlook)}
    if slices:
        standing["slices"] = [
            _describe_account(one)
            | {
                "slice": name,
                "outlook": asdict(
                    look_ahead(store, workload, one, release, teacher_cost_usd, name)
                ),
            }
            for name, one in slices.items()
        ]
    return standing


def _describe_account(account: Account, pool: PoolStanding | None = None) -> dict[str, Any]:
    reading = read_account(account, pool=pool)
    standing: dict[str, Any] = {
        "kind": "certificate" if isinstance(account, Certificate) else "guarantee",
        account.terms.about: account.terms.at_least,
        "confidence": account.terms.confidence,
        "over": account.terms.over,
        "level": None if reading.level is None else reading.level + 1,
        "levels": reading.levels,
        f"proven_{account.terms.about}": reading.lower_bound,
        "progress": reading.progress,
        "interactions": reading.trials,
    }
    if isinstance(account, Certificate):
        following = min(0 if reading.level is None else reading.level + 1, reading.levels - 1)
        standing |= {
            "log_wealth_of_next_level": float(account.wealth()[following]),
            "log_wealth_needed": account.target,
        }
    else:
        standing |= {
            "disagreements_at_most": account.bound(),
            "disagreements_to_spare": account.spare(),
            "doubt_served_below": account.cut(),
        }
    return standing


def list_levels(account: Account | None, release: Release | None) -> tuple[Level, ...]:
    """The certificate's levels with the release's thresholds; none without either."""
    if not isinstance(account, Certificate) or release is None:
        return ()
    thresholds = release.thresholds(account.levels, account.terms.over)
    return tuple(
        Level(
            number=number,
            predicted_risk=float(risk),
            threshold=float(threshold) if np.isfinite(threshold) else None,
        )
        for number, (risk, threshold) in enumerate(
            zip(account.levels, thresholds, strict=True), start=1
        )
    )


def find_account(
    promises: PromiseKeeper, workload: str, settings: WorkloadSettings | None
) -> Account | None:
    """The workload's certificate or ledger as the store has it."""
    promise = find_promise(settings)
    if settings is None or promise is None:
        return None
    return promises.account(workload, promise, settings.slices)


def find_skip(body: Mapping[str, Any], release: Release | None) -> str | None:
    """Why the student can't draft an answer to this request; None where it can."""
    if not is_cascadable(body):
        return (
            "the request asks for what only the model itself can give: several choices, token"
            " scores, other media than text, or tools that are no functions"
        )
    if release is None:
        return "no release is in force for this workload"
    if release.student is None:
        return "the release in force holds a gate and no student"
    profile = profile_of(body)
    if release.forms is not None and profile.form not in release.forms:
        return (
            "the release wasn't learned from requests with this form of answer"
            " (tools, tool choice, response format, stop words)"
        )
    if release.prompts is not None and profile.prompt not in release.prompts:
        return "the release wasn't learned from requests with these instructions"
    return None


def write_usd(amount: Decimal | None) -> str | None:
    """Money for machines."""
    return None if amount is None else plain_usd(amount)
