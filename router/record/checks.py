"""What random checks say of how often answers agree with the teacher's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from policies.intervals import wilson


@dataclass(frozen=True, kw_only=True)
class Checks:
    """Random checks of what others than the teacher answered, each weighted by how many drafts it
    stands for. ``square_weight``: the sum of squared weights, which says how much the weighted
    count is worth; ``answered``, ``served``: all delivered answers, and those of others."""

    answered: int
    served: int
    checked: int
    weight: float
    square_weight: float
    wrong_weight: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Checks:
        """Of a row of sums, whose weights are None where nothing was checked."""
        return cls(
            answered=row["answered"],
            served=row["served"],
            checked=row["checked"],
            weight=row["weight"] or 0.0,
            square_weight=row["square_weight"] or 0.0,
            wrong_weight=row["wrong_weight"] or 0.0,
        )


def estimate_agreement(checks: Checks) -> dict[str, Any] | None:
    """Of all delivered answers (``all``) and of those that others than the teacher gave
    (``served``), each with a 95 % interval; None where others answered and nothing was checked.

    A check stands for several drafts, so the interval is Wilson's at the weighted share with
    (Σw)²/Σw² checks instead of their number (Kish, 1965).
    """
    if not checks.answered:
        return None
    if not checks.served:
        sure = {"estimate": 1.0, "low": 1.0, "high": 1.0}
        return {"all": sure, "served": None, "checks": 0}
    if not checks.weight:
        return None
    worth = checks.weight**2 / checks.square_weight
    wrong = checks.wrong_weight / checks.weight
    least, most = wilson(wrong * worth, worth)
    share = checks.served / checks.answered
    return {
        "all": {
            "estimate": 1.0 - share * wrong,
            "low": 1.0 - share * most,
            "high": 1.0 - share * max(least, 0.0),
        },
        "served": {"estimate": 1.0 - wrong, "low": 1.0 - most, "high": 1.0 - max(least, 0.0)},
        "checks": checks.checked,
    }
