"""The end user behind a request, under a name that only tells users apart.

What an application says of its user (``user``, ``safety_identifier``, ``metadata.user_id``) is
never stored as it came: a digest takes its place, so that a user's interactions can be found
again, to erase them, by who knows the user's name. Tenants' users of one name are different ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

USER_FIELDS: Final[tuple[tuple[str, ...], ...]] = (
    ("safety_identifier",),
    ("user",),
    ("metadata", "user_id"),
)
"""Where OpenAI's and Anthropic's bodies name the user, the field that counts first."""


def pseudonym_of(tenant: str, user: str) -> str:
    """What stands for a user of a tenant in the records."""
    digest = hashlib.sha256(f"{tenant}\0{user}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"user_{digest[:32]}"


def find_user(body: Mapping[str, Any]) -> str | None:
    """The user that a body names: a pseudonym in a stored one."""
    for path in USER_FIELDS:
        value: Any = body
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value:
            return value
    return None


def hide_user(redacted: Mapping[str, Any], given: Mapping[str, Any], tenant: str) -> dict[str, Any]:
    """The redacted body with the pseudonym in place of every user that the ``given`` one names.

    Taken from the given one: redacted, two users who go by their addresses would be one.
    """
    hidden = dict(redacted)
    if find_user(given) is None:  # as most
        return hidden
    for path in USER_FIELDS:
        found = find_user({path[0]: given.get(path[0])})
        if found is None:
            continue
        if len(path) == 1:
            hidden[path[0]] = pseudonym_of(tenant, found)
        else:
            hidden[path[0]] = {**hidden[path[0]], path[1]: pseudonym_of(tenant, found)}
    return hidden
