"""What is allowed and yet probably not meant: said loudly, never refused."""

from __future__ import annotations

from collections.abc import Iterator

from router.settings.document import Document
from router.settings.model import STUDENT_KEY
from router.settings.pool_rules import find_idle_pools
from router.settings.problems import Path, Problem, dotted
from router.settings.rules import View, known_price


def find_warnings(document: Document) -> Iterator[Problem]:
    """Every warning. Reads plain data, as the rules do."""
    view = View(document)
    for path, message in _find(view):
        line = document.line_of(path)
        yield Problem(line=line, key=dotted(path), message=message, severity="warning")


def _find(view: View) -> Iterator[tuple[Path, str]]:
    yield from _teachers(view)
    yield from _addresses(view)
    for i, key in view.keys.items():
        if key.get("train_on", False) is False:
            yield ("keys", i), "has no train_on: true, so nothing is learned from its traffic"
    yield from _budgets(view)
    for i, workload in view.workloads.items():
        teacher = {"promise", "policy"}.isdisjoint(workload) or workload.get("policy") == "teacher"
        if teacher and workload.get("recall", False) is not False:
            yield ("workloads", i, "recall"), "plays no part under policy teacher"
        if teacher and workload.get("rungs"):
            yield ("workloads", i, "rungs"), "play no part under policy teacher"
    yield from find_idle_pools(view)
    yield from _unreachable(view)


def _budgets(view: View) -> Iterator[tuple[Path, str]]:
    """Which gives way where a workload has a budget and something else decides."""
    for i, workload in view.workloads.items():
        if not isinstance(workload.get("budget"), dict):
            continue
        policy = workload.get("policy")
        where = ("workloads", i, "budget")
        if isinstance(workload.get("promise"), dict) and policy in (None, "promise", "budget"):
            message = "gives way to the promise, which outranks it: remove the promise to keep it"
            yield where, message
        elif policy != "budget":
            yield where, f"plays no part under policy {policy or 'teacher'}: write policy: budget"


def _teachers(view: View) -> Iterator[tuple[Path, str]]:
    """The teacher, and each model that an alias makes one."""
    teacher = view.teacher
    if teacher is None:
        yield ("models",), "has no model called teacher, so requests for auto can't be answered"
    for key, model in view.upstream_models.items():
        if key != teacher and not model.get("aliases"):
            continue
        distillation = model.get("distillation", "unknown")
        if distillation in ("denied", "unknown"):
            yield (
                ("models", key, "distillation"),
                f"is {distillation}, so nothing is learned from this model: "
                "set it to allowed if its terms allow that",
            )
        rates = None if model.get("price") else known_price(model)
        if rates is None:
            yield from _price(view, ("models", key, "price"), model.get("price"))
        else:
            message = (
                f"is not given: {rates.input} USD in and {rates.output} USD out per million tokens"
                " are taken from genai-prices; write them down if they are yours"
            )
            yield ("models", key, "price"), message
    student = view.models.get(STUDENT_KEY)
    if student is not None and student.get("kind", "openai") == "openai":
        yield from _price(view, ("models", STUDENT_KEY, "price"), student.get("price"))


def _addresses(view: View) -> Iterator[tuple[Path, str]]:
    """Anthropic's own clients are told its address without /v1, so many will write it so."""
    for key, model in view.upstream_models.items():
        upstream = model.get("upstream")
        anthropic = model.get("dialect") == "anthropic" and isinstance(upstream, str)
        if anthropic and not str(upstream).rstrip("/").endswith("/v1"):
            message = "doesn't end with /v1, below which Anthropic's dialect has /messages"
            yield ("models", key, "upstream"), message


def _price(view: View, path: Path, price: object) -> Iterator[tuple[Path, str]]:
    if not price and path not in view.document.unresolved:
        yield path, "is missing, so costs and savings stay unknown"
    if not isinstance(price, dict) or not price.keys() & {"input", "cached_input", "output"}:
        return
    for name in ("input", "output"):
        if view.lacks(price, path, name):
            yield (*path, name), "is missing, so costs and savings stay unknown: a call has both"


def _unreachable(view: View) -> Iterator[tuple[Path, str]]:
    catches_all: int | None = None
    for i, workload in view.workloads.items():
        match = workload.get("match", "*")
        pattern = match.get("system_prompt", "*") if isinstance(match, dict) else match
        if catches_all is not None:
            line = view.document.line_of(("workloads", catches_all))
            message = f"is only reached by name: the workload on line {line} matches everything"
            yield ("workloads", i), message
        elif pattern == "*":
            catches_all = i
