"""A teacher that fails: a draft stands in for it only where the workload says so."""

from __future__ import annotations

from pathlib import Path

import httpx
import openai
import pytest

from router.testing import ErrorAnswer, FakeUpstream, Hang
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.gateway.test_leaving import settled
from tests.integration.gateway.test_student import ask, promote, workload

DOWN = ErrorAnswer(status=503)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_draft_stands_in_where_the_workload_says_so(tmp_path: Path, stream: bool) -> None:
    promote(tmp_path)
    policy = workload(policy="teacher", on_teacher_failure="draft")
    async with (
        FakeUpstream("parcel", always=DOWN) as up,
        gateway(tmp_path, up.base_url, **policy) as base,
    ):
        answer = await ask(base, "where is my parcel", stream=stream)
        (row,) = await settled(tmp_path)
    assert answer.headers["x-tutelage-tier"] == "student"
    assert answer.headers["x-tutelage-reason"] == row.reason == "teacher_failed"
    assert (row.status, row.seen, row.agreed, row.cost_usd) == ("ok", False, None, 0)
    assert [attempt.status for attempt in row.attempts] == [503]
    assert row.draft is not None


@pytest.mark.parametrize(
    ("policy", "fault", "pinned"),
    [
        ({"policy": "teacher"}, DOWN, False),
        ({"policy": "teacher", "on_teacher_failure": "draft"}, ErrorAnswer(status=400), False),
        ({"policy": "teacher", "on_teacher_failure": "draft"}, DOWN, True),
    ],
    ids=["by default", "a request that was refused", "a pinned teacher"],
)
async def test_otherwise_the_error_is_told(
    tmp_path: Path, policy: dict[str, str], fault: ErrorAnswer, pinned: bool
) -> None:
    promote(tmp_path)
    async with (
        FakeUpstream("parcel", always=fault) as up,
        gateway(tmp_path, up.base_url, **workload(**policy)) as base,
    ):
        with pytest.raises(openai.APIStatusError) as failed:
            await client(base).chat.completions.create(
                model="teacher" if pinned else "auto",
                messages=[{"role": "user", "content": "where is my parcel"}],
            )
        (row,) = await settled(tmp_path)
    assert failed.value.status_code == fault.status
    assert (row.status, row.tier, len(row.attempts)) == ("error", "teacher", 1)


async def test_without_a_release_there_is_no_draft(tmp_path: Path) -> None:
    policy = workload(policy="teacher", on_teacher_failure="draft")
    async with (
        FakeUpstream("parcel", always=DOWN) as up,
        gateway(tmp_path, up.base_url, **policy) as base,
    ):
        with pytest.raises(openai.InternalServerError):
            await client(base).chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "hi"}]
            )
        (row,) = await settled(tmp_path)
    assert (row.status, row.tier) == ("error", "teacher")


async def test_such_a_draft_counts_against_the_promise(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(promise={"agreement": 0.9}, on_teacher_failure="draft")
    async with (
        FakeUpstream("parcel", always=DOWN) as up,
        gateway(tmp_path, up.base_url, **policy) as base,
    ):
        await ask(base, "where is my parcel")
        (row,) = await settled(tmp_path)
    assert (row.reason, row.propensity, row.level is not None) == ("teacher_failed", 1.0, True)


async def test_an_interaction_is_known_while_its_audit_runs(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(policy="student", audit={"max_share": 1.0})
    models = {"upstream": "", "model": "m", "retries": 0, "timeout_s": {"first_byte": 2}}
    async with FakeUpstream("parcel", always=Hang()) as up:
        named = {"teacher": {**models, "upstream": up.base_url}}
        async with (
            gateway(tmp_path, up.base_url, **policy, models=named) as base,
            httpx.AsyncClient(base_url=base) as http,
        ):
            answer = await ask(base, "where is my parcel")
            url = f"/v1/interactions/{answer.headers['x-tutelage-id']}"
            at_once = await http.get(url)
            await settled(tmp_path)
            later = await http.get(url)
    assert (at_once.status_code, later.status_code) == (200, 200)
    assert at_once.json() == later.json()
    assert at_once.json()["cost_usd"] is None
