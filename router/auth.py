"""Who is calling."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from router.errors import Unauthorized
from router.settings.model import Settings


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The key behind a request; ``train_on``: its traffic may be learned from."""

    key_name: str
    tenant: str
    train_on: bool


_OWNER = Caller(key_name="", tenant="", train_on=True)
"""The operator on the loopback interface, where no keys are configured."""


def authenticate(settings: Settings, headers: Mapping[str, str]) -> Caller:
    """The caller named by ``Authorization: Bearer KEY`` or ``x-api-key``.

    Every key is compared, each in constant time. Raises Unauthorized.
    """
    if not settings.keys:
        return _OWNER
    scheme, _, token = headers.get("authorization", "").partition(" ")
    given = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")
    found: Caller | None = None
    for key in settings.keys:
        secret = settings.secret(key.key_env)
        if secret is not None and hmac.compare_digest(secret.encode(), given.encode()):
            found = Caller(key_name=key.name, tenant=key.tenant, train_on=key.train_on)
    if found is None:
        raise Unauthorized("Incorrect API key provided.")
    return found
