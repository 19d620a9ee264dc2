"""What the gateway is made of, handed down frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from policies.base import Coin
from policies.promise.batch import Proven
from router.budget import BudgetKeeper
from router.drafting import Drafter
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator
from router.promise import PromiseKeeper
from router.record.model import Interaction, PromiseState
from router.record.redact import Redactor
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import Settings
from router.upstream.model import Reply, UpstreamTarget
from router.upstream.stream import StreamReply


class Upstream(Protocol):
    """Whoever answers for the models: ``UpstreamClient``, or recorded answers in a replay."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def complete(self, target: UpstreamTarget, body: Mapping[str, Any]) -> Reply: ...
    async def open_stream(self, target: UpstreamTarget, body: Mapping[str, Any]) -> StreamReply: ...


class RecordSink(Protocol):
    """Where records go: ``Sink``, or a list in a replay."""

    @property
    def lag(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    async def note(self, interaction: Interaction, *, final: bool = True) -> None: ...
    def put(self, interaction: Interaction, promise_state: PromiseState | None = None) -> None: ...
    def drain(self, timeout_s: float) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Deps:
    """``targets``: every configured upstream by its model's key; ``drafter``: makes the students'
    drafts; ``background``: audits that are still running; ``proven``: by workload, what keeps its
    promise where learning is off."""

    settings: Settings
    store: Store
    sink: RecordSink
    metrics: Metrics
    upstream: Upstream
    targets: Mapping[str, UpstreamTarget]
    teacher_costs: TeacherCostEstimator
    redactor: Redactor
    releases: ActiveReleases
    promises: PromiseKeeper
    budgets: BudgetKeeper
    drafter: Drafter
    coin: Coin
    background: set[asyncio.Task[None]] = field(default_factory=set)
    proven: Mapping[str, Proven] = field(default_factory=dict)


def build_targets(settings: Settings) -> dict[str, UpstreamTarget]:
    """How to reach each model that lives behind an upstream."""
    targets = {}
    for key, model in settings.models.items():
        if model.upstream is None or model.model is None:
            continue
        targets[key] = UpstreamTarget(
            key=key,
            base_url=model.upstream,
            model=model.model,
            api_key=settings.secret(model.api_key_env) if model.api_key_env else None,
            connect_timeout_s=model.timeout_s.connect,
            first_byte_timeout_s=model.timeout_s.first_byte,
            total_timeout_s=model.timeout_s.total,
            retries=model.retries,
        )
    return targets
