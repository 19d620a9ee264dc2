"""Server-sent events, however the network cuts them."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.wire.sse import DONE, EventTooLarge, SseDecoder, SseEvent, encode


def decode(*parts: bytes) -> list[tuple[str, str]]:
    decoder = SseDecoder()
    return [(event.event, event.data) for part in parts for event in decoder.feed(part)]


MIXED = (
    b"\xef\xbb\xbfdata: one\r\n\r\n: a comment\n\nevent: note\rdata: two\rdata:lines\r\r"
    b"data:  kept space\nid: 4\nretry: 10\nunknown: x\n\ndata\n\n"
    b"event: nothing\n\n: ping\ndata: gr\xc3\xbc\xc3\x9f: x\n\ndata: [DONE]\n\n"
)
EXPECTED = [
    ("message", "one"),
    ("note", "two\nlines"),
    ("message", " kept space"),
    ("message", ""),
    ("message", "grüß: x"),
    ("message", "[DONE]"),
]


def test_every_kind_of_line() -> None:
    assert decode(MIXED) == EXPECTED


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_cut_into_equal_parts(size: int) -> None:
    assert decode(*(MIXED[i : i + size] for i in range(0, len(MIXED), size))) == EXPECTED


def test_a_line_end_cut_in_two_is_one() -> None:
    assert decode(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [("message", "a\nb")]
    assert decode(b"data: a\r", b"data: b\r", b"\r", b"data: c\n", b"\n") == [
        ("message", "a\nb"),
        ("message", "c"),
    ]


@given(st.lists(st.integers(0, len(MIXED)), max_size=8))
def test_cut_anywhere(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(MIXED)]
    parts = [MIXED[a:b] for a, b in pairwise(edges)]
    assert decode(*parts) == EXPECTED


@given(st.lists(st.text(min_size=1), min_size=1), st.sampled_from(["\n", "\r\n", "\r"]), st.data())
def test_what_is_encoded_decodes(texts: list[str], ending: str, data: st.DataObject) -> None:
    raw = b"".join(encode(text) for text in texts).replace(b"\n", ending.encode())
    cut = data.draw(st.integers(0, len(raw)))
    folded = [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]
    assert [text for _, text in decode(raw[:cut], raw[cut:])] == folded


def test_an_event_is_out_as_soon_as_its_blank_line_is() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [SseEvent(data="a", raw=b"data: a\r\n\r")]
    assert decoder.feed(b"\ndata: b\r\r") == [SseEvent(data="b", raw=b"data: b\r\r")]
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: c\n\n") == [SseEvent(data="c", raw=b"data: c\n\n")]


def test_the_raw_bytes_are_those_of_the_event() -> None:
    raws = [b"data: 1\n\n", b"event: x\r\ndata: 2\r\n\r\n", b": hi\ndata:3\n\n"]
    decoder = SseDecoder()
    assert [event.raw for event in decoder.feed(b"".join(raws))] == raws


def test_broken_utf8_is_replaced() -> None:
    assert decode(b"data: \xff\n\n") == [("message", "\ufffd")]


def test_a_second_mark_is_no_mark() -> None:
    assert decode(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n") == [("message", "b")]


def test_flush_gives_what_lacks_only_its_end() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n\ndata: [DONE]") == [SseEvent(data="a", raw=b"data: a\n\n")]
    assert [event.data for event in decoder.flush()] == ["[DONE]"]
    assert decoder.flush() == []
    decoder.feed(b"data: x\n")
    assert [event.data for event in decoder.flush()] == ["x"]
    decoder.feed(b": comment")
    assert decoder.flush() == []


@pytest.mark.parametrize("step", [1, 10, 200])
def test_events_are_bounded(step: int) -> None:
    def feed(raw: bytes) -> None:
        decoder = SseDecoder(max_event_bytes=100)
        for i in range(0, len(raw), step):
            decoder.feed(raw[i : i + step])

    feed(b"data: " + b"x" * 92 + b"\n\n")
    feed((b"data: " + b"x" * 80 + b"\n\n") * 5)
    with pytest.raises(EventTooLarge):
        feed(b"data: " + b"x" * 95)
    with pytest.raises(EventTooLarge):
        feed(b"data: xxxxxxxxx\n" * 10)
    with pytest.raises(EventTooLarge):
        feed(b": xxxxxxxxxxxxx\n" * 10)


def test_the_bound_is_a_mebibyte() -> None:
    SseDecoder().feed(b"data: " + b"x" * 1_000_000)
    with pytest.raises(EventTooLarge, match="1048576"):
        SseDecoder().feed(b"data: " + b"x" * 1_100_000)


def test_encoding() -> None:
    assert encode("a") == b"data: a\n\n"
    assert encode("a\nb") == b"data: a\ndata: b\n\n"
    assert encode({"a": "x\ny"}) == b'data: {"a":"x\\ny"}\n\n'
    assert encode("a", event="ping") == b"event: ping\ndata: a\n\n"
    assert encode("[DONE]") == DONE


def test_objects_stay_on_one_line_and_survive() -> None:
    value = {"t": "a\u2028b\r\n\ud83d"}
    [(_, data)] = decode(encode(value))
    assert json.loads(data) == value
