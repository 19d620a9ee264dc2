"""Every form through the official clients, over upstreams of either dialect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from router.testing import FakeUpstream
from tests.integration.forms.gateways import CALLS, TURNS, Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOTH = pytest.mark.parametrize("model", ["teacher", "claude"])
COST = "0.00036"  # 40 tokens at 2.5, 60 at 1 and 20 at 10 USD a million


async def cost_of(served: Served, interaction: str) -> dict[str, Any]:
    for _ in range(50):
        found = await served.http.get(f"/interactions/{interaction}")
        if found.status_code == 200:
            return dict(found.json())
        await asyncio.sleep(0.02)
    raise AssertionError("the interaction was never settled")


@BOTH
async def test_messages(served: Served, model: str) -> None:
    raw = await served.anthropic.messages.with_raw_response.create(
        model=model, max_tokens=50, messages=TURNS
    )
    async with served.anthropic.messages.stream(
        model=model, max_tokens=50, messages=TURNS
    ) as stream:
        said = [text async for text in stream.text_stream]
        streamed = await stream.get_final_message()
    whole = await raw.parse()
    assert raw.headers["x-tutelage-cost-usd"] == COST
    assert whole._request_id == raw.headers["x-tutelage-id"]
    assert len(said) > 1
    for message in (whole, streamed):
        text, *calls = message.content
        assert text.type == "text"
        assert text.text == "Let me look"
        assert [call.input for call in calls if call.type == "tool_use"] == [
            {"what": "card", "where": "post"},
            {"what": "letter"},
        ]
        assert message.stop_reason == "tool_use"
        assert message.usage.input_tokens == 40
        assert message.usage.cache_read_input_tokens == 60
        assert message.usage.output_tokens == 20


@BOTH
async def test_chat(served: Served, model: str) -> None:
    whole = await served.openai.chat.completions.create(model=model, messages=TURNS)
    stream = await served.openai.chat.completions.create(
        model=model, messages=TURNS, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    silent = await served.openai.chat.completions.create(model=model, messages=TURNS, stream=True)
    untold = [chunk async for chunk in silent]
    choice = whole.choices[0]
    assert choice.message.content == "Let me look"
    assert choice.finish_reason == "tool_calls"
    arguments = {0: "", 1: ""}
    for chunk in chunks:
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            assert call.function is not None
            arguments[call.index] += call.function.arguments or ""
    assert choice.message.tool_calls is not None
    for i, call in enumerate(choice.message.tool_calls):
        assert call.type == "function"
        assert call.function.arguments == arguments[i] == CALLS.tool_calls[i].arguments
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == 100
    assert (chunks[-1].model_extra or {})["tutelage"]["cost_usd"] == float(COST)
    assert not any(chunk.usage for chunk in untold)


@BOTH
async def test_responses(served: Served, model: str) -> None:
    raw = await served.openai.responses.with_raw_response.create(model=model, input="Where?")
    async with served.openai.responses.stream(model=model, input="Where?") as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_response()
    whole = raw.parse()
    assert raw.headers["x-tutelage-cost-usd"] == COST
    assert kinds.count("response.output_text.delta") > 1
    assert kinds[-1] == "response.completed"
    for response in (whole, streamed):
        assert response.output_text == "Let me look"
        calls = [item for item in response.output if item.type == "function_call"]
        assert [(c.call_id, c.arguments) for c in calls] == [
            (call.id, call.arguments) for call in CALLS.tool_calls
        ]
        assert response.usage is not None
        assert response.usage.input_tokens_details.cached_tokens == 60


async def test_what_passes_through_is_metered_and_recorded(
    served: Served, up: FakeUpstream
) -> None:
    vectors = await served.openai.embeddings.with_raw_response.create(
        model="auto", input=["a", "b"], extra_body={"x": 1}
    )
    text = await served.openai.completions.create(model="auto", prompt="two and two", n=2)
    stream = await served.openai.completions.create(
        model="auto", prompt="two and two", stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    silent = await served.openai.completions.create(model="auto", prompt="two and two", stream=True)
    untold = [chunk async for chunk in silent]
    recorded = await cost_of(served, vectors.headers["x-tutelage-id"])
    refused = await served.http.post("/embeddings", json={"model": "claude", "input": "a"})
    assert len(vectors.parse().data) == 2
    assert up.requests[0].body == {
        **{"input": ["a", "b"], "encoding_format": "base64"},
        **{"x": 1, "model": "big-70b"},
    }
    assert vectors.headers["x-tutelage-reason"] == "passed_through"
    assert recorded["cost_usd"] == 0.00025
    assert [choice.text for choice in text.choices] == ["Let me look"] * 2
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "Let me look"
    assert chunks[-1].usage is not None
    assert (chunks[-1].model_extra or {})["tutelage"]["cost_usd"] == float(COST)
    assert not any(chunk.usage for chunk in untold)
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "unsupported_by_model"


async def test_models_are_listed_for_both_clients(served: Served) -> None:
    theirs = [model.id async for model in await served.anthropic.models.list()]
    ours = [model.id async for model in await served.openai.models.list()]
    assert theirs == ours == ["auto", "claude", "teacher", "claude-alias"]


async def test_tokens_are_counted_where_they_can_be(served: Served, up: FakeUpstream) -> None:
    counted = await served.anthropic.messages.with_raw_response.count_tokens(
        model="claude-alias", messages=TURNS
    )
    guess = await served.anthropic.messages.with_raw_response.count_tokens(
        model="auto", messages=TURNS
    )
    assert counted.headers["x-tutelage-reason"] == "counted"
    assert up.requests[0].path == "/v1/messages/count_tokens"
    assert up.requests[0].body["model"] == "claude-big"
    assert (await counted.parse()).input_tokens == len(up.requests[0].raw)
    assert guess.headers["x-tutelage-reason"] == "estimated"
    assert (await guess.parse()).input_tokens == 5  # 17 characters, rounded up
    assert len(up.requests) == 1
