"""What the gateway is made of, handed down frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from policies.base import Coin
from policies.cascade import Ladder
from policies.promise.batch import Proven
from router.admission import Admission
from router.deciding.budget import BudgetKeeper
from router.deciding.plugins import Plugins
from router.deciding.promise import PromiseKeeper
from router.deciding.recall import RecallKeeper
from router.deciding.rungs import RungKeeper
from router.drafting import Drafter
from router.generative.rung import RungCaller
from router.limits.door import Door
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator
from router.record.model import Interaction, PromiseState
from router.record.redact import Redactor
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import STUDENT_KEY, Settings
from router.staging.keeper import NO_STAGING, Staging
from router.telemetry.tracer import Tracer
from router.unaudited import Unaudited
from router.upstream.forward import Forwarded, Inquiry
from router.upstream.model import AttemptLog, Reply, UpstreamTarget
from router.upstream.stream import StreamReply
from router.wire.form import Native


class Upstream(Protocol):
    """Whoever answers for the models: ``Failover`` over ``UpstreamClient``, or recorded answers in
    a replay. ``tries`` is given every failed try as it ends."""

    async def start(self) -> None: ...
    async def close(self) -> None: ...
    async def complete(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: list[AttemptLog] | None = None,
    ) -> Reply: ...
    async def open_stream(
        self,
        target: UpstreamTarget,
        body: Mapping[str, Any],
        native: Native | None = None,
        tries: list[AttemptLog] | None = None,
    ) -> StreamReply: ...
    async def forward(self, target: UpstreamTarget, inquiry: Inquiry) -> Forwarded: ...


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
    drafts; ``recall``: what the teacher said before; ``ladders``: by workload, what is known of who
    may draft; ``rungs``: how far further models' drafts can be trusted, None where none draft, as
    in a replay, whose streams record one student; ``rung_caller``: asks them; ``admission``: who is
    let in; ``door``: keeps the budgets and rates of keys, None where nobody has any;
    ``background``: audits that are still running; ``unaudited``: their interactions; ``proven``: by
    workload and slice (empty: all of it), what keeps its promise where learning is off;
    ``plugins``: policies of other distributions by name; ``repeats``: by workload,
    how often the teacher was asked the same again on purpose; ``tracer``: None where telemetry is
    off; ``staging``: what is learned about candidates on trial."""

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
    recall: RecallKeeper
    coin: Coin
    ladders: dict[str, Ladder] = field(default_factory=dict)
    rungs: RungKeeper | None = None
    rung_caller: RungCaller = field(default_factory=RungCaller)
    admission: Admission = field(default_factory=Admission)
    unaudited: Unaudited = field(default_factory=Unaudited)
    door: Door | None = None
    background: set[asyncio.Task[None]] = field(default_factory=set)
    proven: Mapping[str, Mapping[str, Proven]] = field(default_factory=dict)
    plugins: Plugins = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    tracer: Tracer | None = None
    staging: Staging = NO_STAGING


def build_targets(settings: Settings) -> dict[str, UpstreamTarget]:
    """How to reach each model that lives behind an upstream, the student apart."""
    targets = {}
    for key, model in settings.models.items():
        if key == STUDENT_KEY or model.upstream is None or model.model is None:
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
            dialect=model.dialect,
            hedge_after_s=model.hedge_after_s,
        )
    return {
        key: replace(
            target, fallbacks=tuple(targets[name] for name in settings.models[key].fallbacks)
        )
        for key, target in targets.items()
    }
