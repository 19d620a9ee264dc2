"""What a key may use. Without scopes everything; else, of each kind that is named, what one fits.

A scope is ``endpoint:``, ``model:`` or ``workload:`` with a name or a glob. Endpoints are paths
below ``/v1``, and one covers what lies below it: ``endpoint:responses`` also an answer that is
kept. Models are names as clients send them. Workloads are the configured names, or what a client
calls its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from router.errors import Forbidden, NotFound

SCOPE_KINDS = ("endpoint", "model", "workload")


def allows(scopes: Sequence[str], kind: str, name: str) -> bool:
    """Whether one of the scopes of a kind fits the name, or there is none of that kind."""
    patterns = [one[len(kind) + 1 :] for one in scopes if one.startswith(f"{kind}:")]
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


def check_endpoint(scopes: Sequence[str], path: str) -> None:
    """``path``: of the request. Raises Forbidden."""
    name = path.strip("/").removeprefix("v1/")
    covering = [name[:at] for at, char in enumerate(name) if char == "/"]
    if not any(allows(scopes, "endpoint", one) for one in (name, *covering)):
        raise Forbidden(f"This key has no scope for the endpoint {name}.", code="missing_scope")


def check_model(scopes: Sequence[str], name: str) -> None:
    """``name``: as the client sent it. Raises NotFound, as for a model that isn't there."""
    if not allows(scopes, "model", name):
        raise NotFound(
            f"The model '{name}' does not exist or you do not have access to it.",
            param="model",
            code="model_not_found",
        )


def check_workload(scopes: Sequence[str], identity: str, tenant: str) -> None:
    """``identity``: of the request's workload, with its tenant where there are several. Raises
    Forbidden."""
    name = identity.removesuffix(f"@{tenant}")
    if not allows(scopes, "workload", name):
        raise Forbidden(f"This key has no scope for the workload {name}.", code="missing_scope")
