"""Whether a gateway takes it that others serve from its store."""

from __future__ import annotations

from typing import Any

import pytest

from router.commands.serve import count_sharers
from router.settings.model import Settings

POSTGRES = {"url": "postgresql://tutelage@db/tutelage"}
REDIS = {"url": "redis://redis:6379"}
GUARANTEED = [{"name": "shop", "promise": {"agreement": 0.95, "guarantee": True}}]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"store": POSTGRES, "coordination": REDIS}, 2),
        ({"coordination": REDIS}, 1),
        ({"store": POSTGRES}, 1),
        ({}, 1),
        ({"store": POSTGRES, "coordination": REDIS, "workloads": GUARANTEED}, 1),
    ],
    ids=["replicas", "sqlite", "no-redis", "usual", "guarantee"],
)
def test_replicas_share_postgresql_and_redis(settings: dict[str, Any], count: int) -> None:
    assert count_sharers(Settings.model_validate(settings)) == count
