from __future__ import annotations

from typing import Any

from policies.types import Tier
from router.record.latency import Pace, Quantiles, find_quantiles
from router.record.store import Store
from tests.unit.router.record.records import make_record


def test_quantiles_are_values_that_were_seen() -> None:
    assert find_quantiles([5.0]) == Quantiles(count=1, p50=5.0, p95=5.0)
    values = [float(n) for n in range(100, 0, -1)]
    assert find_quantiles(values) == Quantiles(count=100, p50=50.0, p95=95.0)


def test_paces_are_of_the_newest_that_went_well_by_tier(store: Store) -> None:
    slow: dict[str, Any] = {"latency_ms": 9000.0}
    failed: dict[str, Any] = {"latency_ms": 1.0, "status": "error"}
    served: dict[str, Any] = {"tier": Tier.STUDENT, "latency_ms": 6.0}
    store.append([make_record("old", **slow), make_record("failed", **failed)])
    store.append([make_record("a", latency_ms=400.0, first_token_ms=90.0, workload="shop")])
    store.append([make_record("b", latency_ms=500.0), make_record("c", **served)])
    whole = Quantiles(count=2, p50=400.0, p95=500.0)
    first = Quantiles(count=1, p50=90.0, p95=90.0)
    assert store.paces(3) == {
        Tier.TEACHER: Pace(whole=whole, first_token=first),
        Tier.STUDENT: Pace(whole=Quantiles(count=1, p50=6.0, p95=6.0), first_token=None),
    }
    assert store.paces(9, "shop")[Tier.TEACHER].whole.count == 1
    assert store.paces(9, "nobody") == {}
