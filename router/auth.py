"""Who is calling."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from router.errors import Forbidden, Unauthorized
from router.scopes import check_endpoint
from router.settings.keys import KeySettings
from router.settings.model import Settings
from router.settings.rules import is_loopback


@dataclass(frozen=True, kw_only=True)
class Caller:
    """The key behind a request; ``train_on``: its traffic may be learned from; ``scopes``: what it
    may use, see ``router.scopes``."""

    key_name: str
    tenant: str
    train_on: bool
    scopes: tuple[str, ...] = ()


_LOOPBACK_NAME = "localhost"

_OWNER = Caller(key_name="", tenant="", train_on=True)
"""The operator on the loopback interface, where no keys are configured."""


def authenticate(settings: Settings, headers: Mapping[str, str], path: str) -> Caller:
    """The caller named by ``Authorization: Bearer KEY`` or ``x-api-key``, let in at ``path``.

    Every key is compared, each in constant time. Where no keys are configured, the caller is the
    operator, unless a foreign website speaks through the operator's browser. Raises Unauthorized
    or Forbidden.
    """
    if not settings.keys:
        _refuse_websites(settings, headers)
        return _OWNER
    given = _read_key(headers)
    found: KeySettings | None = None
    for key in settings.keys:
        if _is(key, given, settings):
            found = key
    if found is None:
        raise Unauthorized("Incorrect API key provided.")
    if found.scopes:
        check_endpoint(found.scopes, path)
    return Caller(
        key_name=found.name, tenant=found.tenant, train_on=found.train_on, scopes=found.scopes
    )


def authenticate_admin(settings: Settings, headers: Mapping[str, str]) -> None:
    """Lets only the operator through: whoever has the admin key, compared in constant time.

    Without one, only where no keys are configured either: on this machine, and not through a
    foreign website. Raises Unauthorized or Forbidden; a caller's own key is never enough.
    """
    if has_admin_key(settings, headers):
        return
    if settings.admin is not None:
        if not settings.keys:
            raise Unauthorized("Incorrect admin key provided.")
        authenticate(settings, headers, "/admin")  # 401 for whom nobody knows
        raise Forbidden("This needs the admin key.", code="admin_key_required")
    if settings.keys or not is_loopback(settings.server.host):
        raise Forbidden(
            "The admin API is closed: configure a key for it, admin: {key_env: ADMIN_KEY}.",
            code="admin_key_required",
        )
    _refuse_websites(settings, headers)


def has_admin_key(settings: Settings, headers: Mapping[str, str]) -> bool:
    """Whether a request carries the admin key, where there is one."""
    if settings.admin is None:
        return False
    secret, given = settings.secret(settings.admin.key_env), _read_key(headers)
    return secret is not None and hmac.compare_digest(secret.encode(), given.encode())


def _read_key(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "")


def check_state_is_open(settings: Settings) -> None:
    """Raises Forbidden where what an upstream keeps could be another tenant's: it can't tell."""
    if len({key.tenant for key in settings.keys}) > 1:
        raise Forbidden(
            "What the teacher's server keeps is closed where keys belong to several tenants: send"
            " the whole conversation instead.",
            code="server_state_closed",
        )


def _is(key: KeySettings, given: str, settings: Settings) -> bool:
    """In constant time for each kind of key."""
    fits = False
    if key.sha256 is not None or key.also_sha256:
        digest = hashlib.sha256(given.encode()).hexdigest()
        for known in (key.sha256 or "", *key.also_sha256):
            fits |= hmac.compare_digest(known, digest)
    secret = None if key.key_env is None else settings.secret(key.key_env)
    return fits or (secret is not None and hmac.compare_digest(secret.encode(), given.encode()))


def _refuse_websites(settings: Settings, headers: Mapping[str, str]) -> None:
    """Without keys, being on this machine is what opens the gateway, and a browser is on it too.

    A foreign page can post here (the answer stays unread, the teacher's bill doesn't), and can
    make a name of its own point here, which makes it the same origin (DNS rebinding).
    """
    if not is_own_host(headers.get("host", ""), settings.server.host):
        raise Forbidden(
            "Without keys the gateway answers under this machine's own address only, such as"
            f" http://127.0.0.1:{settings.server.port}.",
            code="foreign_host",
        )
    origin = headers.get("origin")
    if origin is not None and not is_own_host(origin.partition("//")[2], settings.server.host):
        raise Forbidden(
            "Without keys the gateway answers no foreign website: configure keys.",
            code="foreign_origin",
        )


@lru_cache(maxsize=16)  # a client that stays sends the same one with every request
def is_own_host(header: str, configured: str) -> bool:
    """Whether a ``Host`` header names loopback or the configured host."""
    try:
        name = urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return False
    if name in (_LOOPBACK_NAME, configured.strip("[]").lower()):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
