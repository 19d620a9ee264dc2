"""Keys of the store beside those of the configuration, as the same settings."""

from __future__ import annotations

from collections.abc import Sequence

from router.record.keys import StoredKey
from router.settings.keys import KeyBudget, KeyRate, KeySettings
from router.settings.model import Settings

_NOBODY = "0" * 64
"""The digest of no key: where all keys were revoked, nobody is let in, rather than everybody."""


def with_keys(settings: Settings, stored: Sequence[StoredKey], at_s: float) -> Settings:
    """The settings with the keys that are valid at ``at_s``, in seconds since the epoch; a
    configured one of the same name goes first."""
    taken = {key.name for key in settings.keys}
    valid = [_write(one, at_s) for one in stored if one.is_valid(at_s) and one.name not in taken]
    if stored and not valid and not settings.keys:
        valid = [KeySettings(name=stored[0].name, tenant=stored[0].tenant, sha256=_NOBODY)]
    return settings.model_copy(update={"keys": (*settings.keys, *valid)}) if valid else settings


def _write(key: StoredKey, at_s: float) -> KeySettings:
    budget = rate = None
    if key.budget_usd is not None:
        budget = KeyBudget.model_validate({"usd": key.budget_usd, "per": key.budget_per or "day"})
    if key.requests_per_minute is not None or key.tokens_per_minute is not None:
        rate = KeyRate(
            requests_per_minute=key.requests_per_minute, tokens_per_minute=key.tokens_per_minute
        )
    return KeySettings(
        name=key.name,
        tenant=key.tenant,
        sha256=key.sha256,
        also_sha256=key.digests(at_s)[1:],
        scopes=key.scopes,
        budget=budget,
        rate=rate,
        train_on=key.train_on,
    )
