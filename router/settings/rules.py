"""What must hold between the parts of a configuration.

The rules read plain data, not validated settings, so that they speak also where some other part
of the file is wrong; what has the wrong type is left to ``validation.py``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from policies.plugins import POLICY_GROUP
from router.meter.catalogue import find_rates
from router.meter.prices import Rates
from router.settings.document import Document
from router.settings.model import BUILT_IN_POLICIES, STUDENT_KEY, find_teacher
from router.settings.problems import Path, Problem

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class View:
    """Tolerant access to the parts of a document."""

    def __init__(self, document: Document) -> None:
        self.document = document
        data = document.data if isinstance(document.data, dict) else {}
        self.top: dict[str, Any] = data
        models = _mapping(data.get("models"))
        self.models = {key: model for key, model in models.items() if isinstance(model, dict)}
        self.model_keys = list(models)
        self.workloads = _entries(data.get("workloads"))
        self.keys = _entries(data.get("keys"))
        self.admin = _mapping(data.get("admin"))

    @property
    def upstream_models(self) -> dict[str, dict[str, Any]]:
        """The models that are to be reached over HTTP."""
        return {
            key: model
            for key, model in self.models.items()
            if key != STUDENT_KEY and model.get("kind", "openai") != "embedded"
        }

    @property
    def teacher(self) -> str | None:
        return find_teacher(self.upstream_models)

    def names(self, key: str, field: str) -> Iterator[tuple[Path, str]]:
        """The texts in a model's list, each with its path."""
        values = self.models[key].get(field)
        for i, name in enumerate(values if isinstance(values, list) else ()):
            if isinstance(name, str):
                yield ("models", key, field, i), name

    def lacks(self, section: Mapping[str, Any], path: Path, key: str) -> bool:
        """Not given, as opposed to given with a problem that is reported elsewhere."""
        return key not in section and (*path, key) not in self.document.unresolved


def find_errors(document: Document, env: Mapping[str, str]) -> Iterator[Problem]:
    """Every broken rule."""
    view = View(document)
    yield from _check_models(view)
    yield from _check_aliases(view)
    yield from _check_fallbacks(view)
    yield from _check_workloads(view)
    yield from _check_secrets(view, env)
    yield from _check_keys(view, env)
    yield from _check_admin(view, env)
    yield from _check_host(view)
    yield from _check_workers(view)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _entries(value: object) -> dict[int, dict[str, Any]]:
    """The mappings in a list by their position."""
    items = value if isinstance(value, list) else []
    return {i: item for i, item in enumerate(items) if isinstance(item, dict)}


def _check_models(view: View) -> Iterator[Problem]:
    problem = view.document.problem
    for key, model in view.models.items():
        path: Path = ("models", key)
        if key == "auto":
            yield problem(path, "can't be a model's key: auto means that the policy decides")
        kind = model.get("kind", "openai")
        if "replicas" in model and (key != STUDENT_KEY or kind == "embedded"):
            yield problem((*path, "replicas"), "is only for a student of kind openai: remove it")
        if key == STUDENT_KEY and kind == "openai":
            yield from _check_student(view, path, model)
        elif kind == "embedded" and key != STUDENT_KEY:
            yield problem((*path, "kind"), "embedded is only for the model called student")
        elif kind == "embedded":
            for field in ("upstream", "model", "api_key_env", "aliases", "fallbacks"):
                if field in model:
                    yield problem((*path, field), "has no meaning for an embedded model: remove it")
        elif kind == "openai":
            for field in ("upstream", "model"):
                if view.lacks(model, path, field):
                    yield problem((*path, field), f"is missing: {_EXAMPLES[field]}")


def _check_student(view: View, path: Path, model: Mapping[str, Any]) -> Iterator[Problem]:
    """A student behind a server; what makes a model a teacher has no meaning for it."""
    problem = view.document.problem
    for field in ("aliases", "fallbacks"):
        if field in model:
            yield problem((*path, field), "has no meaning for a student: remove it")
    if view.lacks(model, path, "model"):
        yield problem((*path, "model"), f"is missing: {_EXAMPLES['model']}")
    if view.lacks(model, path, "upstream") and view.lacks(model, path, "replicas"):
        message = "is missing: give the server's URL, such as http://127.0.0.1:8000/v1"
        yield problem((*path, "upstream"), message)


_EXAMPLES = {
    "upstream": "give the server's URL, such as https://api.example.com/v1",
    "model": "give the model's name at its upstream",
}


def _check_aliases(view: View) -> Iterator[Problem]:
    problem, show = view.document.problem, view.document.show
    owners: dict[str, str] = {}
    for key in view.models:
        for path, alias in view.names(key, "aliases"):
            if alias == "auto":
                yield problem(path, "can't be auto, which means that the policy decides")
            elif alias in view.model_keys or alias == "student":
                yield problem(path, f"{show(path, alias)} is also a model's key, which pins it")
            elif alias in owners:
                owner = "the same model" if owners[alias] == key else owners[alias]
                yield problem(path, f"{show(path, alias)} is already an alias of {owner}")
            else:
                owners[alias] = key


def _check_fallbacks(view: View) -> Iterator[Problem]:
    problem, show = view.document.problem, view.document.show
    targets: dict[str, list[str]] = {key: [] for key in view.models}
    for key in view.models:
        for path, name in view.names(key, "fallbacks"):
            if name == key:
                yield problem(path, "names the model itself")
            elif name == "student":
                yield problem(path, "names the student, which can't stand in for a teacher")
            elif name not in view.model_keys:
                yield problem(path, f"{show(path, name)} is not the key of a model")
            elif name in targets[key]:
                yield problem(path, f"{show(path, name)} is listed twice")
            else:
                targets[key].append(name)
    reported: set[str] = set()
    for key in targets:
        cycle = None if key in reported else _find_cycle(key, targets)
        if cycle is not None:
            reported.update(cycle)
            ring = " → ".join([*cycle, key])
            yield problem(("models", key, "fallbacks"), f"lead back to the model itself: {ring}")


def _find_cycle(start: str, targets: Mapping[str, list[str]]) -> list[str] | None:
    """The models on a shortest way from ``start`` back to it."""
    routes, seen = [[start]], {start}
    for route in routes:
        for name in targets.get(route[-1], ()):
            if name == start:
                return route
            if name not in seen:
                seen.add(name)
                routes.append([*route, name])
    return None


def _check_workloads(view: View) -> Iterator[Problem]:
    problem, show = view.document.problem, view.document.show
    seen: dict[str, int] = {}
    for i, workload in view.workloads.items():
        path: Path = ("workloads", i)
        name = workload.get("name")
        if isinstance(name, str):
            where = (*path, "name")
            if name in seen:
                first = view.document.line_of(("workloads", seen[name], "name"))
                yield problem(where, f"{show(where, name)} is already on line {first}")
            seen.setdefault(name, i)
        yield from _check_policy(view, path, workload)
        promise = _mapping(workload.get("promise"))
        guarantee = str(promise.get("guarantee")).lower() in YES
        if guarantee and promise.get("over") == "served":
            message = "served has no guarantee: use all, or leave guarantee out"
            yield problem((*path, "promise", "over"), message)
        for policy, hint in _NEEDS.items():
            if workload.get("policy") == policy and view.lacks(workload, path, policy):
                yield problem((*path, "policy"), f"{policy} needs {hint}")
        yield from _check_slices(view, path, workload)
        if workload.get("policy") == "budget" and _lacks_price(view):
            message = f"budget needs a price of the model {view.teacher}: give it one"
            yield problem((*path, "policy"), message)


def _check_policy(view: View, path: Path, workload: Mapping[str, Any]) -> Iterator[Problem]:
    """A policy that is there, and options only for one that reads them."""
    name = workload.get("policy")
    known = [*BUILT_IN_POLICIES, *sorted(entry.name for entry in entry_points(group=POLICY_GROUP))]
    if isinstance(name, str) and name and name not in known:
        where = (*path, "policy")
        shown = view.document.show(where, name)
        message = f"{shown} is no policy and no installed plug-in: use {', '.join(known)}"
        yield view.document.problem(where, message)
    elif "options" in workload and (name is None or name in BUILT_IN_POLICIES):
        yield view.document.problem((*path, "options"), "are only for the policy of a plug-in")


def _check_slices(view: View, path: Path, workload: Mapping[str, Any]) -> Iterator[Problem]:
    """Names differ; there is a promise that slices can keep."""
    slices = _entries(workload.get("slices"))
    if slices and workload.get("policy") not in (None, "promise", "budget"):
        message = f"play no part under policy {workload['policy']}: use promise, or remove them"
        yield view.document.problem((*path, "slices"), message)
    elif slices and view.lacks(workload, path, "promise"):
        yield view.document.problem((*path, "slices"), f"need {_NEEDS['promise']}")
    seen: dict[str, int] = {}
    for i, one in slices.items():
        name, where = one.get("name"), (*path, "slices", i, "name")
        if not isinstance(name, str):
            continue
        if name in seen:
            first = view.document.line_of((*path, "slices", seen[name], "name"))
            message = f"{view.document.show(where, name)} is already on line {first}"
            yield view.document.problem(where, message)
        seen.setdefault(name, i)


def known_price(model: Mapping[str, Any]) -> Rates | None:
    """What the catalogue says of a model's price."""
    name, upstream = model.get("model"), model.get("upstream")
    if not (isinstance(name, str) and isinstance(upstream, str)):
        return None
    try:
        return find_rates(name, upstream)
    except ValueError:  # no URL: said elsewhere
        return None


def _lacks_price(view: View) -> bool:
    """There is a teacher, and nothing says what it costs."""
    key = view.teacher
    if key is None or ("models", key, "price") in view.document.unresolved:
        return False
    model = view.upstream_models[key]
    return not model.get("price") and known_price(model) is None


YES = frozenset({"true", "t", "yes", "y", "on", "1"})
"""What the settings read as true, in lower case; a substituted variable is a text."""

_NEEDS = {
    "promise": "a promise, such as promise: {agreement: 0.97}",
    "threshold": "a threshold, such as threshold: 0.8",
    "budget": "a budget, such as budget: {usd_per_interaction: 0.005}",
}


def _check_secrets(view: View, env: Mapping[str, str]) -> Iterator[Problem]:
    named: list[tuple[Path, object]] = [
        (("models", key, "api_key_env"), model.get("api_key_env"))
        for key, model in view.models.items()
    ]
    named += [(("keys", i, "key_env"), key.get("key_env")) for i, key in view.keys.items()]
    named.append((("admin", "key_env"), view.admin.get("key_env")))
    telemetry = _mapping(view.top.get("telemetry"))
    named.append((("telemetry", "headers_env"), telemetry.get("headers_env")))
    for i, key in view.keys.items():
        path: Path = ("keys", i)
        if view.lacks(key, path, "key_env") and view.lacks(key, path, "sha256"):
            yield view.document.problem((*path, "key_env"), "is missing")
        elif "key_env" in key and "sha256" in key:
            yield view.document.problem((*path, "sha256"), "says again what key_env says: keep one")
    for path, variable in named:
        if isinstance(variable, str) and variable and not env.get(variable):
            yield view.document.problem(path, _unset(variable, path in view.document.originals))


def _unset(variable: str, substituted: bool) -> str:
    """Doesn't repeat what may be a secret that was written in place of its variable's name."""
    if substituted or not _VARIABLE.fullmatch(variable):
        return "must name an environment variable that holds the secret; none is set by this name"
    return f"names the environment variable {variable}, which is not set"


def _check_keys(view: View, env: Mapping[str, str]) -> Iterator[Problem]:
    problem, show = view.document.problem, view.document.show
    names: dict[str, int] = {}
    secrets: dict[str, int] = {}
    for i, key in view.keys.items():
        name = key.get("name")
        where: Path = ("keys", i, "name")
        if isinstance(name, str):
            if name in names:
                first = view.document.line_of(("keys", names[name], "name"))
                yield problem(where, f"{show(where, name)} is already on line {first}")
            names.setdefault(name, i)
        rate = key.get("rate")
        if isinstance(rate, dict) and not rate:
            message = "must say requests_per_minute or tokens_per_minute"
            yield problem(("keys", i, "rate"), message)
        variable = key.get("key_env")
        secret = env.get(variable) if isinstance(variable, str) else None
        if secret:
            if secret in secrets:
                first = view.document.line_of(("keys", secrets[secret], "key_env"))
                message = f"holds the same secret as the key on line {first}: callers can't share"
                yield problem(("keys", i, "key_env"), message)
            secrets.setdefault(secret, i)


def _check_admin(view: View, env: Mapping[str, str]) -> Iterator[Problem]:
    """No caller's key opens the admin API."""
    variable = view.admin.get("key_env")
    secret = env.get(variable) if isinstance(variable, str) else None
    callers = (env.get(str(key.get("key_env"))) for key in view.keys.values())
    if secret and secret in callers:
        message = "holds the same secret as a caller's key: the admin needs one of its own"
        yield view.document.problem(("admin", "key_env"), message)


def _check_host(view: View) -> Iterator[Problem]:
    host = _mapping(view.top.get("server")).get("host")
    path: Path = ("server", "host")
    if isinstance(host, str) and host and not view.keys and not is_loopback(host):
        message = (
            f"{view.document.show(path, host)} is open to other machines, which needs keys: "
            "add keys, or use 127.0.0.1"
        )
        yield view.document.problem(path, message)


def _check_workers(view: View) -> Iterator[Problem]:
    workers = _mapping(view.top.get("server")).get("workers")
    several = str(workers).isdecimal() and int(str(workers)) > 1
    refusal = why_not_several(view.top) if several else None
    if refusal is not None:
        yield view.document.problem(("server", "workers"), refusal)


def why_not_several(configuration: Mapping[str, Any]) -> str | None:
    """Why several workers can't serve a configuration, None where they can."""
    url = _mapping(configuration.get("coordination")).get("url", "memory://")
    if url == "memory://":
        return "several need a coordination that they share: set coordination.url to redis://…"
    for workload in _entries(configuration.get("workloads")).values():
        promise = _mapping(workload.get("promise"))
        if str(promise.get("guarantee")).lower() in YES:
            return f"the guarantee of workload {workload.get('name')} is kept by one worker only"
        if workload.get("pool"):
            return f"the pool of workload {workload.get('name')} is kept by one worker only"
        if workload.get("policy") == "budget":
            return f"the budget of workload {workload.get('name')} is kept by one worker only"
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
