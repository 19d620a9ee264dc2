"""What the gateway is made of, handed down frozen."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field

from policies.base import Coin
from router.meter.metrics import Metrics
from router.meter.prices import TeacherCostEstimator
from router.promise import PromiseKeeper
from router.record.redact import Redactor
from router.record.sink import Sink
from router.record.store import Store
from router.release import ActiveReleases
from router.settings.model import Settings
from router.students.encoder import Encoder
from router.upstream.client import UpstreamClient
from router.upstream.model import UpstreamTarget


@dataclass(frozen=True, kw_only=True)
class Deps:
    """``targets``: every configured upstream by its model's key; ``drafting``: the one worker in
    which students draft; ``background``: audits that are still running."""

    settings: Settings
    store: Store
    sink: Sink
    metrics: Metrics
    upstream: UpstreamClient
    targets: Mapping[str, UpstreamTarget]
    teacher_costs: TeacherCostEstimator
    redactor: Redactor
    releases: ActiveReleases
    promises: PromiseKeeper
    encoder: Encoder
    coin: Coin
    drafting: Executor
    background: set[asyncio.Task[None]] = field(default_factory=set)


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
