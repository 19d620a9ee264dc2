"""Policies of other distributions, found by their entry points and checked before they serve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points

from policies.checks import check_policy
from policies.plugins import POLICY_GROUP, PolicyContext, PolicyFactory
from router.errors import ConfigError
from router.settings.model import BUILT_IN_POLICIES, Settings, WorkloadSettings

Plugins = Mapping[str, PolicyFactory]


def load_policies(settings: Settings) -> dict[str, PolicyFactory]:
    """The plug-ins that the workloads name, each held to the contract with its options.

    Raises ConfigError with what is wrong with the first that can't serve.
    """
    loaded: dict[str, PolicyFactory] = {}
    for workload in settings.workloads:
        name = workload.effective_policy
        if name in BUILT_IN_POLICIES:
            continue
        if name not in loaded:
            loaded[name] = _load(name)
        _check(loaded[name], workload)
    return loaded


def find_faults(settings: Settings) -> Iterator[tuple[int, str]]:
    """The position of every workload whose plug-in can't serve, and why."""
    for i, workload in enumerate(settings.workloads):
        try:
            load_policies(settings.model_copy(update={"workloads": (workload,)}))
        except ConfigError as error:
            yield i, str(error)


def _load(name: str) -> PolicyFactory:
    found = [entry for entry in entry_points(group=POLICY_GROUP) if entry.name == name]
    if len(found) != 1:
        raise ConfigError(
            f"The policy {name!r} is neither built in nor offered by an installed package."
            if not found
            else f"The policy {name!r} is offered by {len(found)} packages: remove all but one."
        )
    try:
        factory = found[0].load()
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise ConfigError(f"The policy plug-in {name!r} can't be loaded: {cause}.") from error
    if not callable(factory):
        raise ConfigError(f"The policy plug-in {name!r} is not a function that makes a policy.")
    return factory  # type: ignore[no-any-return]


def _check(factory: PolicyFactory, workload: WorkloadSettings) -> None:
    name = workload.effective_policy
    context = PolicyContext(
        workload=workload.name, options=workload.options, audit_share=workload.audit.max_share
    )
    try:
        check_policy(lambda coin: factory(context, coin))
    except AssertionError as broken:
        clause = str(broken).partition(", in Features")[0]
        raise ConfigError(
            f"The policy plug-in {name!r} breaks the contract of policies: {clause}."
        ) from None
    except Exception as error:
        raise ConfigError(
            f"The policy plug-in {name!r} failed on a request for {workload.name!r}: "
            f"{str(error).rstrip('.') or type(error).__name__}."
        ) from error
