"""Errors in the words of the client's form, before an answer and in the middle of one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from router.testing import Cut, ErrorAnswer, FakeUpstream, GarbageAnswer, MissingDone, Stall
from tests.integration.forms.gateways import TURNS, Served, serve

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_errors_of_the_gateway_have_the_forms_shape(tmp_path: Path) -> None:
    keys = [{"name": "shop", "key_env": "SHOP_KEY"}]
    async with FakeUpstream() as up, serve(tmp_path, up, keys=keys) as served:
        with pytest.raises(anthropic.AuthenticationError) as unknown:
            await served.anthropic.messages.create(model="auto", max_tokens=5, messages=TURNS)
        keyed = served.anthropic.with_options(api_key="sk-shop-secret")
        with pytest.raises(anthropic.NotFoundError) as missing:
            await keyed.messages.create(model="nobody", max_tokens=5, messages=TURNS)
        with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
            await keyed.messages.create(model="auto", max_tokens=-1, messages=TURNS)
    assert isinstance(unknown.value.body, dict)
    assert unknown.value.body["type"] == "error"
    assert unknown.value.body["error"]["type"] == "authentication_error"
    assert isinstance(missing.value.body, dict)
    assert missing.value.body["error"]["type"] == "not_found_error"


OWN = b'{"type": "error", "error": {"type": "overloaded_error", "message": "Busy."}}'


@pytest.mark.parametrize("body", [None, OWN])
async def test_errors_of_an_upstream_are_told_in_the_clients_form(
    served: Served, up: FakeUpstream, body: bytes | None
) -> None:
    fault = ErrorAnswer(status=429, headers={"retry-after": "7"}, body=body)
    up.faults.extend([fault] * 2)
    with pytest.raises(anthropic.RateLimitError) as theirs:
        await served.anthropic.messages.create(model="claude", max_tokens=5, messages=TURNS)
    with pytest.raises(openai.RateLimitError) as ours:
        await served.openai.chat.completions.create(model="claude", messages=TURNS)
    assert theirs.value.response.headers["retry-after"] == "7"
    assert theirs.value.response.json()["type"] == "error"
    error = ours.value.response.json()["error"]
    assert error["message"] in ("Busy.", "Scripted error 429.")
    assert set(error) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("model", ["teacher", "claude"])
@pytest.mark.parametrize("fault", [Cut(after_chunks=4), GarbageAnswer(text="{", after_chunks=4)])
async def test_a_broken_stream_raises_in_every_client(
    served: Served, up: FakeUpstream, model: str, fault: Any
) -> None:
    up.faults.extend([fault] * 3)
    with pytest.raises(anthropic.APIStatusError, match="broke off"):
        async with served.anthropic.messages.stream(
            model=model, max_tokens=50, messages=TURNS
        ) as stream:
            assert [text async for text in stream.text_stream]
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in await served.openai.responses.create(model=model, input="a", stream=True):
            pass
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in await served.openai.chat.completions.create(
            model=model, messages=TURNS, stream=True
        ):
            pass


async def test_a_message_that_lacks_only_its_last_event_is_whole(
    served: Served, up: FakeUpstream
) -> None:
    up.faults.append(MissingDone())
    async with served.anthropic.messages.stream(
        model="claude", max_tokens=50, messages=TURNS
    ) as stream:
        message = await stream.get_final_message()
    assert message.stop_reason == "tool_use"


async def test_a_response_that_lacks_its_last_event_is_broken(
    served: Served, up: FakeUpstream
) -> None:
    up.faults.append(MissingDone())
    with pytest.raises(openai.APIError, match="broke off"):
        async for _ in await served.openai.responses.create(
            model="teacher", input="a", stream=True
        ):
            pass


async def test_a_client_that_leaves_a_stream_of_messages_ends_it(
    served: Served, up: FakeUpstream
) -> None:
    up.faults.append(Stall(after_chunks=5))
    before = up.disconnects
    async with served.anthropic.messages.stream(
        model="claude", max_tokens=50, messages=TURNS
    ) as stream:
        async for _ in stream.text_stream:
            break
    async with asyncio.timeout(10):
        while up.disconnects == before:  # noqa: ASYNC110 - its event was set before
            await asyncio.sleep(0.01)
