"""The configuration file with the admin API's policies, and the keys of the store, laid over it.

A policy is examined together with the file, by the same rules. One that doesn't fit the file as it
is now, or whose workload has left it, stays stored and out of force: the file's settings serve.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from router.record.keys import StoredKey
from router.record.model import PolicyVersion
from router.record.store import Store
from router.settings.check import examine_document
from router.settings.document import Document
from router.settings.model import Settings
from router.settings.problems import Problem
from router.settings.rules import why_not_several
from router.stored_keys import with_keys

CHANGEABLE: Final = ("policy", "promise", "budget", "threshold", "audit")
"""The settings of a workload that the admin API may change."""


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """``filed``: what the file says; ``settings``: what is in force; ``versions``: the newest of
    each workload that has any; ``problems``: by workload, a sentence on why its newest is not in
    force; ``keys``: all of the store, of which those count that were valid at ``at_s``, in seconds
    since the epoch; ``workers``: how many processes serve from the store."""

    filed: Settings
    settings: Settings
    versions: Mapping[str, PolicyVersion]
    problems: Mapping[str, str]
    keys: Sequence[StoredKey]
    at_s: float
    workers: int


class Unfit(Exception):
    """A change doesn't fit the settings. ``name``: of the setting, empty where there is none."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


def lay_over(
    filed: Settings,
    versions: Mapping[str, PolicyVersion],
    keys: Sequence[StoredKey] = (),
    *,
    workers: int = 1,
) -> Overlay:
    """Never raises: what doesn't fit is told in ``problems``."""
    settings, problems = filed, {}
    for workload, version in versions.items():
        if version.change is None:
            continue
        try:
            settings = change_workload(settings, workload, version.change, workers=workers)
        except Unfit as error:
            problems[workload] = (
                f"Version {version.version} of the policy of workload {workload!r} is not in force,"
                f" the file's is: {error}"
            )
    at_s = time.time()
    return Overlay(
        filed=filed,
        settings=with_keys(settings, keys, at_s),
        versions=versions,
        problems=problems,
        keys=keys,
        at_s=at_s,
        workers=workers,
    )


def list_valid(keys: Sequence[StoredKey], at_s: float | None = None) -> list[str]:
    """The digests of those that are let in at a moment, None: now."""
    moment = time.time() if at_s is None else at_s
    return [one for key in keys if key.is_valid(moment) for one in key.digests(moment)]


def read_overlay(filed: Settings, store: Store, workers: int = 1) -> Overlay:
    """What the store has, laid over the file. Blocks."""
    return lay_over(filed, store.newest_policies(), store.keys(), workers=workers)


def read_in_force(filed: Settings, store: Store) -> Settings:
    """What a gateway over the store has in force, for commands beside it. Blocks."""
    return read_overlay(filed, store).settings


def change_workload(
    settings: Settings, workload: str, change: Mapping[str, Any], *, workers: int = 1
) -> Settings:
    """The settings with some of a workload's replaced, or taken away where they are None.

    Raises Unfit, a sentence, where the workload isn't configured or the result isn't valid.
    """
    names = [one.name for one in settings.workloads]
    if workload not in names:
        raise Unfit(f"The workload {workload!r} is not in the configuration file.")
    data = settings.model_dump(mode="json", exclude_unset=True)
    at = names.index(workload)
    changed = data["workloads"][at] | change
    data["workloads"][at] = {key: value for key, value in changed.items() if value is not None}
    found, problems = examine_document(Document(data=data), _fill_in(settings))
    if found is None:
        raise _explain(next(p for p in problems if p.severity == "error"), at)
    refusal = why_not_several(data) if workers > 1 else None
    if refusal is not None:
        raise Unfit(f"With {workers} workers {refusal}.")
    return found.with_secrets(settings.env)


def _fill_in(settings: Settings) -> Mapping[str, str]:
    """The environment with a stand-in for each unset secret: whether they may be unset was decided
    when the file was read."""
    named = [model.api_key_env for model in settings.models.values()]
    named += [key.key_env for key in settings.keys]
    named.append(None if settings.admin is None else settings.admin.key_env)
    unset = [name for name in named if name is not None and settings.secret(name) is None]
    return {**settings.env, **{name: name for name in unset}}


def _explain(problem: Problem, at: int) -> Unfit:
    """The problem in the words of whoever sees the workload alone, without a file and its lines."""
    key = problem.key.removeprefix(f"workloads[{at}].")
    return Unfit(f"{key} {problem.message}.".lstrip(), key.partition(".")[0])
