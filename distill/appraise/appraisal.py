"""The whole appraisal of a log, workload by workload."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from distill.appraise.forecast import MIN_ROWS, Forecast, Progress, forecast
from distill.appraise.log import Log, Logged
from distill.appraise.measure import Profile, by_workload, profile
from router.meter.money import plain_usd
from router.meter.prices import Price
from router.settings.model import PromiseSettings, Settings
from router.students.encoder import Encoder
from router.wire.openai import input_text
from router.workload import find_settings

MONTH_DAYS = 30
MIN_DAYS = 7.0
"""A log must span so many days before a month is told from it: weekdays and weekends differ."""

_DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Part:
    """One workload: what it was, and what would have become of it. ``declined``: why nothing is
    predicted, where ``forecast`` is None."""

    name: str
    label: str
    profile: Profile
    forecast: Forecast | None
    declined: str | None


@dataclass(frozen=True, kw_only=True)
class Appraisal:
    """``days``: from the first to the last entry, None unless the log has times; ``per_month``:
    interactions of a month at this pace, None where the log is too short to say."""

    log: Log
    parts: Sequence[Part]
    days: float | None
    per_month: float | None

    @property
    def cost_usd(self) -> Decimal | None:
        """USD of everything in the log; None where a part is unknown."""
        costs = [part.profile.cost_usd for part in self.parts]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)) if len(known) == len(costs) else None


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """``promise``: what is to be kept; ``most``: newest entries of a workload that are replayed."""

    promise: PromiseSettings
    runs: int
    seed: int
    most: int


def appraise(
    log: Log,
    settings: Settings,
    conditions: Conditions,
    tell: Callable[[str], Progress],
) -> Appraisal:
    """``tell``: given what is being done, the progress to report to."""
    encoder = Encoder(cache=1_000_000)
    teacher = settings.teacher
    price = None if teacher is None else teacher.price
    parts = [
        _appraise_part(name, entries, log, settings, conditions, price, encoder, tell)
        for name, entries in by_workload(log.entries).items()
    ]
    days = None if log.span_s is None else log.span_s / _DAY_S
    per_month = None
    if days is not None and days >= MIN_DAYS:
        per_month = len(log.entries) / days * MONTH_DAYS
    return Appraisal(log=log, parts=parts, days=days, per_month=per_month)


def _appraise_part(
    name: str,
    entries: Sequence[Logged],
    log: Log,
    settings: Settings,
    conditions: Conditions,
    price: Price | None,
    encoder: Encoder,
    tell: Callable[[str], Progress],
) -> Part:
    newest = list(entries)[-conditions.most :]
    texts = [input_text(entry.row.body) for entry in newest]
    enough = len(newest) >= MIN_ROWS
    vectors = encoder.encode(texts) if enough else None
    configured = find_settings(settings, name)
    comparer = None if configured is None else configured.compare
    measured = profile(newest if vectors is not None else entries, price, vectors, comparer)
    if len(newest) < len(entries):
        whole = profile(entries, price, None, comparer)
        measured = _over_all(measured, whole)
    predicted = None
    if enough:
        predicted = forecast(
            newest,
            settings,
            conditions.promise,
            comparer=measured.comparer,
            runs=conditions.runs,
            seed=conditions.seed,
            encoder=encoder,
            progress=tell(f"replaying {log.labels[name]}"),
        )
    declined = None
    if predicted is None:
        declined = f"{len(entries)} interactions are too few to predict from: it takes {MIN_ROWS}"
    return Part(
        name=name,
        label=log.labels[name],
        profile=measured,
        forecast=predicted,
        declined=declined,
    )


def _over_all(newest: Profile, whole: Profile) -> Profile:
    """Counted over the whole log, but near repeats over its newest part."""
    return Profile(**{**asdict(whole), "near_repeats": newest.near_repeats})


def to_json(appraisal: Appraisal) -> dict[str, Any]:
    """Ready for ``json.dumps``; money as decimals in text, null where it is unknown."""
    log = appraisal.log
    return {
        "log": log.name,
        "interactions": len(log.entries),
        "skipped": dict(log.skipped),
        "days": appraisal.days,
        "cost_usd": _write_usd(appraisal.cost_usd),
        "month": _month(appraisal),
        "workloads": [
            {
                "name": part.name,
                "label": part.label,
                **asdict(part.profile),
                "cost_usd": _write_usd(part.profile.cost_usd),
                "forecast": None if part.forecast is None else asdict(part.forecast),
                "declined": part.declined,
            }
            for part in appraisal.parts
        ],
    }


def _write_usd(amount: Decimal | None) -> str | None:
    return None if amount is None else plain_usd(amount)


def _month(appraisal: Appraisal) -> dict[str, Any] | None:
    """What a month costs at this pace, and what would be saved; None where it can't be told."""
    cost_usd = appraisal.cost_usd
    if appraisal.per_month is None or cost_usd is None:
        return None
    per_month_usd = float(cost_usd) / len(appraisal.log.entries) * appraisal.per_month
    saved = [
        (part.forecast.saving, float(part.profile.cost_usd))
        for part in appraisal.parts
        if part.forecast and part.forecast.saving and part.profile.cost_usd is not None
    ]
    scale = per_month_usd / float(cost_usd) if cost_usd else 0.0
    return {
        "interactions": round(appraisal.per_month),
        "cost_usd": per_month_usd,
        "saved_usd": {
            bound: sum(getattr(saving, bound) * usd for saving, usd in saved) * scale
            for bound in ("mean", "low", "high")
        },
    }
