"""What a client writes is redacted before anything of it is on disk, however much it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.record.pieces import LONG_CHARS
from router.testing import FakeUpstream
from tests.integration.gateway.test_gateway import client, gateway
from tests.integration.gateway.test_leaving import settled

WHO = "bob@example.com"


def read_all(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("chars", [10, 2 * LONG_CHARS])
async def test_nothing_unredacted_is_on_disk(tmp_path: Path, chars: int, stream: bool) -> None:
    messages = [{"role": "user", "content": f"I am {WHO}. " + "word, " * (chars // 6)}]
    async with (
        FakeUpstream(f"Hello {WHO}") as up,
        gateway(tmp_path, up.base_url, data={"redact": ["email"]}) as base,
    ):
        answer = await client(base).chat.completions.create(
            model="auto", messages=messages, stream=stream, max_tokens=5
        )
        if stream:
            async for _ in answer:
                pass
        (row,) = await settled(tmp_path)
        written = read_all(tmp_path)
    assert WHO in up.requests[0].body["messages"][0]["content"]
    assert not any(WHO.encode() in content for content in written)
    assert row.request is not None
    assert row.request["messages"][0]["content"] == messages[0]["content"].replace(WHO, "[email]")
    assert row.answer is not None
    assert row.answer["content"] == "Hello [email]"
