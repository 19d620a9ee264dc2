"""Which workload a request belongs to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from router.settings.model import Settings, WorkloadSettings
from router.wire.openai import ChatRequest, system_prompt
from router.wire.passed_through import PASSED_THROUGH

_PROFILE_KEYS = ("tools", "response_format")
_ENCODER = json.JSONEncoder(sort_keys=True)


def name_workload(request: ChatRequest) -> str | None:
    """The client's own name; what holds no task, and no prompt to tell it by, goes by its path."""
    if request.pinned == PASSED_THROUGH and request.options.workload is None:
        return f"/v1/{request.form}"
    return request.options.workload


def find_workload(
    settings: Settings, body: Mapping[str, Any], named: str | None, tenant: str
) -> tuple[str, WorkloadSettings | None]:
    """The workload's identity and its settings, where it is configured.

    A client's own name wins, then the first configured glob that matches the system prompt, then
    a fingerprint of the task profile: system prompt, tools and response format. Where several
    tenants exist, each one's workloads are apart.
    """
    prompt = system_prompt(body)
    for workload in settings.workloads:
        if workload.name == named:
            return _owned(settings, workload.name, tenant), workload
    if named is not None:
        return _owned(settings, named, tenant), None
    for workload in settings.workloads:
        if fnmatchcase(prompt, workload.match.system_prompt):
            return _owned(settings, workload.name, tenant), workload
    profile = _ENCODER.encode([prompt, *(body.get(key) for key in _PROFILE_KEYS)])
    return _owned(settings, f"w-{hashlib.sha256(profile.encode()).hexdigest()[:12]}", tenant), None


def find_settings(settings: Settings, workload: str) -> WorkloadSettings | None:
    """The configured settings of a workload that was identified earlier."""
    return next(
        (one for one in settings.workloads if workload in list_identities(settings, one)), None
    )


def list_identities(settings: Settings, configured: WorkloadSettings) -> list[str]:
    """What a configured workload is called in the store: one for each tenant, where several are."""
    tenants = {key.tenant for key in settings.keys} or {""}
    return sorted({_owned(settings, configured.name, tenant) for tenant in tenants})


def _owned(settings: Settings, name: str, tenant: str) -> str:
    several = len({key.tenant for key in settings.keys}) > 1
    return f"{name}@{tenant}" if several else name
