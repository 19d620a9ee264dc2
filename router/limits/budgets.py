"""Which budgets there are, and which of them a request must fit into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from router.limits.model import Period
from router.settings.keys import KeyBudget, KeySettings
from router.settings.model import Settings

Kind = Literal["key", "workload", "all"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A limit of money. ``subject``: the key's or the workload's name, empty for all."""

    kind: Kind
    subject: str
    usd: Decimal
    per: Period

    @property
    def name(self) -> str:
        """Unique together with the period."""
        return f"{self.kind}:{self.subject}"

    @property
    def said(self) -> str:
        """How to call it to a caller, whom the operator's own sums don't concern."""
        if self.kind == "key":
            return f"The budget of {self.usd} USD a {self.per} of the key {self.subject}"
        whose = "workload " + self.subject if self.kind == "workload" else "gateway"
        return f"The budget for this {self.per} of the {whose}"


def list_budgets(settings: Settings) -> list[Budget]:
    """All of them: keys' own first, then those of ``budgets``."""
    own = [_write("key", key.name, key.budget) for key in settings.keys if key.budget is not None]
    return [*own, *_list_named(settings)]


def find_budgets(
    settings: Settings, key: KeySettings | None, find_workload: Callable[[], str | None]
) -> list[Budget]:
    """Those that a request counts against. ``find_workload``: the name of the configured one that
    it belongs to; only called where a workload has a budget."""
    found = [] if key is None or key.budget is None else [_write("key", key.name, key.budget)]
    if not settings.budgets:
        return found
    workload = find_workload() if any(one.workload for one in settings.budgets) else None
    subjects = {"key": None if key is None else key.name, "workload": workload, "all": ""}
    named = [one for one in _list_named(settings) if subjects[one.kind] == one.subject]
    return [*found, *named]


def _list_named(settings: Settings) -> list[Budget]:
    return [
        _write("key", one.key, one)
        if one.key is not None
        else _write("all" if one.workload is None else "workload", one.workload or "", one)
        for one in settings.budgets
    ]


def _write(kind: Kind, subject: str, given: KeyBudget) -> Budget:
    return Budget(kind=kind, subject=subject, usd=given.usd, per=given.per)
