"""Bytes that nobody would write, cut anywhere: readers raise what they say and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from router.errors import BadRequest
from router.upstream.failures import read_answer
from router.upstream.model import AttemptClock, StreamBroken, UpstreamTarget
from router.upstream.stream import StreamReply
from router.wire.form import Form
from router.wire.messages.incoming import parse_count, parse_messages
from router.wire.passed_through import parse_passed_through
from router.wire.requests import parse_chat
from router.wire.responses.incoming import parse_responses
from router.wire.sse import DONE, EventTooLarge, SseDecoder, encode
from router.wire.strict_json import MAX_DEPTH, JsonError, load_json

PIECES = st.one_of(
    st.sampled_from(
        [
            *(b"data: ", b"data:", b"data", b"event: x", b"id: 1", b"retry: 5", b": ping", b":"),
            *(b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\x00", b"\xff", b"\xc3", b" "),
            *(b"[DONE]", b'{"a":1}', b"DATA: x"),
        ]
    ),
    st.binary(max_size=4),
)
STREAM = st.lists(PIECES, max_size=30).map(b"".join)


def cut(raw: bytes, sizes: list[int]) -> list[bytes]:
    """``raw`` in pieces of these sizes, over and over."""
    parts, at, turn = [], 0, 0
    while at < len(raw):
        size = sizes[turn % len(sizes)]
        parts.append(raw[at : at + size])
        at, turn = at + size, turn + 1
    return parts


SIZES = st.lists(st.integers(1, 7), min_size=1, max_size=4)


def decode(parts: list[bytes]) -> list[tuple[str, str]]:
    decoder = SseDecoder()
    events = [event for part in parts for event in decoder.feed(part)]
    return [(one.event, one.data) for one in [*events, *decoder.flush()]]


@given(raw=STREAM, sizes=SIZES)
def test_cuts_change_no_event(raw: bytes, sizes: list[int]) -> None:
    assert decode(cut(raw, sizes)) == decode([raw])


@given(raw=STREAM, sizes=SIZES, most=st.integers(1, 40))
def test_no_event_is_longer_than_allowed(raw: bytes, sizes: list[int], most: int) -> None:
    decoder = SseDecoder(max_event_bytes=most)
    with suppress(EventTooLarge):
        for part in cut(raw, sizes):
            assert all(len(event.raw) <= most for event in decoder.feed(part))


TOKENS = st.sampled_from(
    [
        *("{", "}", "[", "]", ",", ":", '"a"', '"b"', '"\\ud83d"', '"\\u0000"', "1", "-0", "1e9"),
        *("1e999", "NaN", "true", "null", " ", "\n", "\ufeff", "'", "9" * 40),
    ]
)
TEXT = st.one_of(
    st.lists(TOKENS, max_size=40).map("".join).map(str.encode),
    st.binary(max_size=30),
    st.integers(0, 3 * MAX_DEPTH).map(lambda n: b"[" * n + b"]" * n),
)


@given(TEXT)
def test_json_is_read_or_refused(raw: bytes) -> None:
    try:
        value = load_json(raw)
    except JsonError:
        return
    assert value == json.loads(raw.decode("utf-8-sig"))


@given(raw=TEXT)
def test_no_body_of_any_form_is_a_crash(raw: bytes) -> None:
    for body in (raw, b'{"model":"m","messages":[{"role":"user","content":' + raw + b"}]}"):
        for parse in (parse_chat, parse_responses):
            with suppress(BadRequest):
                parse(body)
        for read in (parse_messages, parse_count):
            with suppress(BadRequest):
                read(body, {})
        for form in (Form.COMPLETIONS, Form.EMBEDDINGS, Form.COMPACTION):
            with suppress(BadRequest):
                parse_passed_through(body, form)


@given(raw=TEXT, form=st.sampled_from(Form))
def test_no_answer_of_an_upstream_is_a_crash(raw: bytes, form: Form) -> None:
    assert isinstance(read_answer(raw, form), (str, Mapping))


class Response:
    """What a stream is read from: the parts, one at a time, and then its end."""

    status = 200

    def __init__(self, parts: list[bytes]) -> None:
        self.content = self
        self._parts = iter([*parts, b""])

    async def read(self) -> bytes:
        return next(self._parts, b"")

    def close(self) -> None:
        return


TARGET = UpstreamTarget(key="t", base_url="http://h/v1", model="m")
HELLO = {"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": None}]}
STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
EVENTS = st.lists(
    st.one_of(
        st.sampled_from([encode(HELLO), encode(STOP), DONE]),
        STREAM,
        TEXT.map(b"data: %b\n\n".__mod__),
    ),
    max_size=6,
).map(b"".join)


async def read(parts: list[bytes], form: Form) -> tuple[list[Any], str | None]:
    """The chunks of a stream that begins well, and how it broke."""
    answer: Any = Response(parts)
    deadline_s = asyncio.get_running_loop().time() + 5
    reply = StreamReply(
        answer=answer,
        target=TARGET,
        clock=AttemptClock("t"),
        earlier=(),
        deadline_s=deadline_s,
        n=1,
        form=form,
    )
    chunks: list[Any] = []
    if await reply.read_first() is not None:
        return chunks, "nothing"
    try:
        async for _, chunk in reply.events():
            chunks.append(repr(chunk))
    except StreamBroken as error:
        return chunks, error.reason
    finally:
        await reply.aclose()
    return chunks, None


@given(raw=EVENTS, sizes=SIZES, form=st.sampled_from([Form.CHAT, Form.MESSAGES, Form.RESPONSES]))
def test_a_stream_is_read_alike_however_it_is_cut(raw: bytes, sizes: list[int], form: Form) -> None:
    raw = encode(HELLO) + raw if form is Form.CHAT else raw
    whole = asyncio.run(read([raw], form))
    assert asyncio.run(read(cut(raw, sizes), form)) == whole
