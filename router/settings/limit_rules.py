"""What must hold for budgets and scopes; like ``rules.py``, over plain data."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from router.scopes import SCOPE_KINDS
from router.settings.document import Document
from router.settings.problems import Path, Problem
from router.settings.rules import View, known_price
from router.wire.form import Form

ENDPOINTS = (*Form, "models", "feedback", "interactions", "metrics", "ui")
"""What a scope of an endpoint may name."""


def find_limit_errors(document: Document) -> Iterator[Problem]:
    """Every broken rule."""
    view = View(document)
    yield from _check_budgets(view)
    yield from _check_prices(view)
    yield from _check_scopes(view)
    yield from _check_hedges(view)


def _check_hedges(view: View) -> Iterator[Problem]:
    """Whoever is asked beside a slow model has to be named."""
    for key, model in view.models.items():
        if "hedge_after_s" in model and not model.get("fallbacks"):
            message = "has nobody to ask meanwhile: name fallbacks"
            yield view.document.problem(("models", key, "hedge_after_s"), message)


def _budgets(view: View) -> Iterator[tuple[Path, dict[str, object]]]:
    """Those of ``budgets``."""
    found = view.top.get("budgets")
    for i, budget in enumerate(found if isinstance(found, list) else ()):
        if isinstance(budget, dict):
            yield ("budgets", i), budget


def _check_budgets(view: View) -> Iterator[Problem]:
    """What they are of is there, and has one budget for a period."""
    problem, show = view.document.problem, view.document.show
    known = {
        "key": [key.get("name") for key in view.keys.values()],
        "workload": [workload.get("name") for workload in view.workloads.values()],
    }
    seen: dict[tuple[str, ...], Path] = {
        ("key", str(key.get("name")), str(key["budget"].get("per", "day"))): ("keys", i, "budget")
        for i, key in view.keys.items()
        if isinstance(key.get("budget"), dict)
    }
    for path, budget in _budgets(view):
        of = [kind for kind in known if kind in budget]
        if len(of) == 2:
            yield problem((*path, "key"), "can't be beside workload: a budget is of one of them")
            continue
        kind = of[0] if of else "all"
        subject = budget.get(kind)
        if of and isinstance(subject, str) and subject not in known[kind]:
            shown = show((*path, kind), subject)
            yield problem((*path, kind), f"{shown} is no {kind} of this file")
        one = (kind, str(subject), str(budget.get("per", "day")))
        if one in seen:
            line = view.document.line_of(seen[one])
            yield problem(path, f"has the period and the subject of the budget on line {line}")
        seen.setdefault(one, path)


def _check_prices(view: View) -> Iterator[Problem]:
    """Whoever may answer has a price, or a budget couldn't count it."""
    limited = [path for path, _ in _budgets(view)]
    limited += [
        ("keys", i, "budget") for i, key in view.keys.items() if isinstance(key.get("budget"), dict)
    ]
    for key, model in view.upstream_models.items() if limited else ():
        if ("models", key, "price") in view.document.unresolved:
            continue
        if not model.get("price") and known_price(model) is None:
            message = f"needs a price of the model {key}: give it one"
            yield view.document.problem(limited[0], message)


def _check_scopes(view: View) -> Iterator[Problem]:
    for i, key in view.keys.items():
        scopes = key.get("scopes")
        for n, scope in enumerate(scopes if isinstance(scopes, list) else ()):
            problem = explain_scope(scope) if isinstance(scope, str) else None
            if problem is not None:
                yield view.document.problem(("keys", i, "scopes", n), problem)


def explain_scope(scope: str) -> str | None:
    """What a scope must be, None where it is one."""
    kind, _, pattern = scope.partition(":")
    if kind not in SCOPE_KINDS or not pattern:
        return "must be endpoint:, model: or workload: with a name or a glob"
    if kind == "endpoint" and not any(fnmatchcase(one, pattern) for one in ENDPOINTS):
        return f"fits no endpoint: use {', '.join(ENDPOINTS)}"
    return None
