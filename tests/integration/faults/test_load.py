"""More than a worker can take: who waits, who is turned away, what becomes of drafts."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

from policies.types import Answer
from router.drafting import EmbeddedDrafter
from router.pipeline import run
from router.record.redact import Redactor
from router.release import Release
from router.students.encoder import Encoder
from router.testing import FakeUpstream, Hang
from router.wire.openai import parse_chat
from tests.integration.gateway.test_gateway import MESSAGES, gateway
from tests.integration.gateway.test_leaving import CALLER, built, encode, make_app, settled
from tests.integration.gateway.test_student import promote, workload

BODY = {"model": "auto", "messages": MESSAGES}


async def until(http: httpx.AsyncClient, **requests: int) -> None:
    async with asyncio.timeout(10):
        while (await http.get("/health/ready")).json()["requests"] != requests:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Held(FakeUpstream):
    """Answers once it may: ``go``."""

    def __init__(self, answer: str) -> None:
        super().__init__(answer)
        self.go = asyncio.Event()

    async def _respond(self, *given: Any) -> web.StreamResponse:
        await self.go.wait()
        return await super()._respond(*given)


async def test_one_is_answered_one_waits_one_is_turned_away(tmp_path: Path) -> None:
    server = {"max_in_flight": 1, "max_waiting": 1}
    async with (
        Held("soon") as up,
        gateway(tmp_path, up.base_url, server=server) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        asked = [asyncio.create_task(http.post("/v1/chat/completions", json=BODY))]
        await up.wait_for_request(timeout_s=10)
        asked.append(asyncio.create_task(http.post("/v1/chat/completions", json=BODY)))
        await until(http, running=1, waiting=1)
        refused = await http.post("/v1/chat/completions", json=BODY)
        up.go.set()
        answers = await asyncio.gather(*asked)
        ready = (await http.get("/health/ready")).json()
        metrics = (await http.get("/metrics")).text
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "overloaded"
    assert [answer.status_code for answer in answers] == [200, 200]
    assert ready["requests"] == {"running": 0, "waiting": 0}
    assert "tutelage_requests_refused_total 1.0" in metrics
    assert len(up.requests) == 2


async def test_a_place_that_does_not_come_in_time_is_none(tmp_path: Path) -> None:
    server = {"max_in_flight": 1, "max_wait_s": 0.1}
    async with (
        FakeUpstream(always=Hang()) as up,
        gateway(tmp_path, up.base_url, server=server) as base,
        httpx.AsyncClient(base_url=base) as http,
    ):
        first = asyncio.create_task(http.post("/v1/chat/completions", json=BODY))
        await up.wait_for_request(timeout_s=10)
        assert (await http.post("/v1/chat/completions", json=BODY)).status_code == 503
        first.cancel()
        await up.wait_for_disconnect(timeout_s=10)
        await until(http, running=0, waiting=0)


async def test_a_student_that_fails_or_has_too_much_to_do_leaves_it_to_the_teacher(
    tmp_path: Path,
) -> None:
    promote(tmp_path)
    async with (
        FakeUpstream("parcel") as up,
        built(make_app(tmp_path, up.base_url, **workload(policy="student"))) as deps,
    ):
        full = EmbeddedDrafter(Encoder(threads=1), Redactor(()), most_waiting=0)
        object.__setattr__(deps, "drafter", full)
        delivery = await run(deps, parse_chat(encode()), CALLER)
        await delivery.aclose()
        (row,) = await settled(tmp_path)
    assert delivery.headers["x-tutelage-reason"] == "student_unavailable"
    assert (row.tier, row.teacher_answer is not None, row.draft) == ("teacher", True, None)


async def test_drafts_beyond_the_queue_are_refused_and_the_queue_empties(tmp_path: Path) -> None:
    promote(tmp_path)

    class Slow:
        student = object()

        def draft(self, text: str, encoder: Encoder) -> tuple[Answer, None]:
            return Answer(content=text), None

    drafter = EmbeddedDrafter(Encoder(threads=1), Redactor(("email",)), most_waiting=2)
    release: Release = Slow()  # type: ignore[assignment]
    body = {"messages": [{"role": "user", "content": "mail me: a@b.org"}]}
    results = await asyncio.gather(
        *(drafter.draft(body, release) for _ in range(3)), return_exceptions=True
    )
    answer = (await drafter.draft(body, release)).answer
    drafter.close()
    assert [type(one).__name__ for one in results] == ["Draft", "Draft", "DraftsQueueFull"]
    assert answer.content == "mail me: [email]"


async def test_a_drafter_without_a_thread_drafts_where_it_is_asked() -> None:
    class Here:
        student = object()

        def draft(self, text: str, encoder: Encoder) -> tuple[Answer, None]:
            return Answer(content=f"{text} in {threading.current_thread().name}"), None

    release: Release = Here()  # type: ignore[assignment]
    body = {"messages": [{"role": "user", "content": "Where?"}]}
    answers = {}
    for threaded in (True, False):
        drafter = EmbeddedDrafter(Encoder(threads=1), Redactor(()), threaded=threaded)
        answers[threaded] = (await drafter.draft(body, release)).answer.content
        drafter.close()
    assert answers[True] == "Where? in draft_0"
    assert answers[False] == f"Where? in {threading.current_thread().name}"
