"""The fake upstream convinces the official client."""

from __future__ import annotations

import openai
import pytest

from policies.types import Answer, ToolCall
from router.testing import ErrorAnswer, FakeUpstream

TOOLS = Answer(
    content=None,
    tool_calls=(ToolCall(name="find", arguments='{"id": 4}', id="a"),),
    finish_reason="tool_calls",
)


def connect(up: FakeUpstream, api_key: str = "any") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=up.base_url, api_key=api_key, max_retries=0)


async def test_whole_answers() -> None:
    async with FakeUpstream(lambda body: body["messages"][0]["content"].upper()) as up:
        client = connect(up)
        completion = await client.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "hello"}], n=2
        )
        assert [choice.message.content for choice in completion.choices] == ["HELLO", "HELLO"]
        assert completion.usage is not None
        assert completion.usage.prompt_tokens == 12
        assert [model.id async for model in client.models.list()] == ["fake"]
        await client.close()


@pytest.mark.parametrize("answer", [Answer(content="one two  three ", finish_reason="stop"), TOOLS])
async def test_streams(answer: Answer) -> None:
    async with FakeUpstream(answer) as up:
        client = connect(up)
        async with client.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "hello"}]
        ) as stream:
            completion = await stream.get_final_completion()
        message = completion.choices[0].message
        assert message.content == answer.content
        assert [call.function.arguments for call in message.tool_calls or ()] == [
            call.arguments for call in answer.tool_calls
        ]
        assert completion.choices[0].finish_reason == answer.finish_reason
        await client.close()


@pytest.mark.parametrize("asked", [True, False])
async def test_usage_is_streamed_only_where_asked_for(asked: bool) -> None:
    async with FakeUpstream("ok") as up:
        client = connect(up)
        stream = await client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "hello"}],
            stream=True,
            stream_options={"include_usage": asked},
        )
        usages = [chunk.usage async for chunk in stream]
        await client.close()
    assert [usage.total_tokens for usage in usages if usage] == ([15] if asked else [])


async def test_scripted_errors_and_keys() -> None:
    async with FakeUpstream(faults=[ErrorAnswer(status=429)], api_key="right") as up:
        client = connect(up, "right")
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model="m", messages=[])
        assert (await client.chat.completions.create(model="m", messages=[])).choices
        await client.close()
        client = connect(up, "wrong")
        with pytest.raises(openai.AuthenticationError):
            await client.chat.completions.create(model="m", messages=[])
        await client.close()
