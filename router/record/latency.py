"""How long answers took lately, by who gave them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from policies.types import Tier
from router.record.database import Database
from router.record.schema import interactions


@dataclass(frozen=True, kw_only=True)
class Quantiles:
    """Of ``count`` latencies, in milliseconds: the least one that half, or 95 %, don't exceed."""

    count: int
    p50: float
    p95: float


@dataclass(frozen=True, kw_only=True)
class Pace:
    """``whole``: until the whole answer was there; ``first_token``: until the first piece of a
    streamed one, None where none was streamed."""

    whole: Quantiles
    first_token: Quantiles | None


class LatencyBook:
    """Latencies of the newest interactions."""

    _database: Database

    def paces(self, newest: int, workload: str | None = None) -> dict[Tier, Pace]:
        """By each tier that answered any of the newest ``newest`` interactions that went well."""
        c = interactions.c
        query = select(c.tier, c.latency_ms, c.first_token_ms).where(c.status == "ok")
        if workload is not None:
            query = query.where(c.workload == workload)
        with self._database.read() as connection:
            found = connection.execute(query.order_by(c.seq.desc()).limit(newest)).all()
        paces = {}
        for tier in Tier:
            whole = [row.latency_ms for row in found if row.tier == tier.value]
            first = [
                row.first_token_ms
                for row in found
                if row.tier == tier.value and row.first_token_ms is not None
            ]
            if whole:
                begun = find_quantiles(first) if first else None
                paces[tier] = Pace(whole=find_quantiles(whole), first_token=begun)
        return paces


def find_quantiles(values: Sequence[float]) -> Quantiles:
    """Of at least one value."""
    ranked = sorted(values)

    def rank(share: float) -> float:
        return ranked[math.ceil(share * len(ranked)) - 1]

    return Quantiles(count=len(ranked), p50=rank(0.5), p95=rank(0.95))
