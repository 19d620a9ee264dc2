"""A student's draft goes out in every form that cascades; what it must not stand for doesn't."""

from __future__ import annotations

import asyncio
from pathlib import Path

from router.testing import FakeUpstream
from tests.integration.forms.gateways import Served, serve
from tests.integration.gateway.test_student import promote, workload

PARCEL = "where is my parcel"
TURNS = [{"role": "user", "content": PARCEL}]


async def wait_for_release(served: Served) -> None:
    for _ in range(100):
        asked = {"model": "auto", "messages": TURNS}
        found = await served.http.post("/chat/completions", json=asked)
        if found.headers["x-tutelage-reason"] != "no_release":
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the release was never taken up")


async def test_drafts_in_every_form(tmp_path: Path) -> None:
    promote(tmp_path)
    policy = workload(policy="threshold", threshold=0.9, audit={"max_share": 0})
    async with FakeUpstream("teacher's") as up, serve(tmp_path, up, **policy) as served:
        await wait_for_release(served)
        up.requests.clear()
        whole = await served.anthropic.messages.create(
            model="auto",
            max_tokens=9,
            messages=[{"role": "user", "content": [{"type": "text", "text": PARCEL}]}],
        )
        async with served.anthropic.messages.stream(
            model="auto", max_tokens=9, messages=[{"role": "user", "content": PARCEL}]
        ) as stream:
            streamed = await stream.get_final_message()
        response = await served.openai.responses.create(model="auto", input=PARCEL, store=False)
        async with served.openai.responses.stream(
            model="auto", input=PARCEL, store=False
        ) as events:
            final = await events.get_final_response()
        named = await served.openai.responses.create(model="student", input=PARCEL)
        assert not up.requests
        kept = await served.openai.responses.create(model="auto", input=PARCEL)
        picture = await served.anthropic.messages.create(
            model="auto",
            max_tokens=9,
            messages=[
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": PARCEL},
                        {"type": "image", "source": {"type": "url", "url": "http://h/a.png"}},
                    ],
                }
            ],
        )
    for message in (whole, streamed):
        assert [block.text for block in message.content if block.type == "text"] == ["parcel"]
        assert message.model.startswith("student@")
        assert message.usage.output_tokens == 0
    assert response.output_text == final.output_text == named.output_text == "parcel"
    assert response.id.startswith("resp_int_")
    assert kept.output_text == "teacher's"  # its client may go on from it at the teacher's server
    assert [block.text for block in picture.content if block.type == "text"] == ["teacher's"]
