"""What a policy of your own is given, and the shape it is offered in.

A distribution offers a policy under the entry-point group ``tutelage.policies``: a name, and a
``PolicyFactory``. A workload with ``policy: NAME`` is then served by it. Before it serves, and in
``tutelage check-config``, every factory is held to ``policies.checks.check_policy``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from policies.base import Coin, Policy

POLICY_GROUP = "tutelage.policies"


def _unknown_cost() -> Decimal | None:
    return None


@dataclass(frozen=True, kw_only=True)
class PolicyContext:
    """One request's surroundings, as far as a policy may know them.

    ``options``: the workload's, as the configuration has them; ``release``: the digest of the
    release in force, None without one; ``audit_share``: the workload's ``audit.max_share``;
    ``expect_cost``: USD that asking the teacher is likely to cost, None where that is unknown.
    """

    workload: str
    options: Mapping[str, Any] = field(default_factory=dict)
    release: str | None = None
    audit_share: float = 0.0
    expect_cost: Callable[[], Decimal | None] = _unknown_cost


PolicyFactory = Callable[[PolicyContext, Coin], Policy]
"""Makes the policy that decides about one request; called once per request, so it must be quick.
Options that it can't use raise ValueError with one sentence."""
