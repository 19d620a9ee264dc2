"""A workload with slices, through the gateway over HTTP."""

from __future__ import annotations

from pathlib import Path

from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import gateway
from tests.integration.gateway.test_student import ask, promote, workload


async def test_a_request_of_a_slice_is_answered(tmp_path: Path) -> None:
    promote(tmp_path)
    slices = [{"name": "parcels", "match": "*parcel*"}]
    policy = workload(promise={"agreement": 0.9}, slices=slices)
    async with FakeUpstream("parcel") as up, gateway(tmp_path, up.base_url, **policy) as base:
        answered = await ask(base, "where is my parcel")
    assert answered.headers["x-tutelage-reason"] == "observe"
