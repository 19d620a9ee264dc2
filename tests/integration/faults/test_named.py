"""The sixteen faults through the official client, streaming and not: what it sees, what is billed.

Times are scaled: 120 s of silence last 0.4 s here, a minute of flapping two seconds.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest

from router.record.model import Attempt, Interaction
from router.testing import FAULTS, Bill, FaultyUpstream
from tests.integration.gateway.test_gateway import MESSAGES, client, gateway
from tests.integration.gateway.test_leaving import settled

SCALE = 0.02
PRICES = {
    "teacher": {"input": Decimal("2.5"), "output": Decimal(10)},
    "teacher-b": {"input": Decimal(1), "output": Decimal(4)},
}
WORDS = 58


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the client got: words of content, and how it ended."""

    words: int = 0
    status: int | None = None
    error: str | None = None
    headers: Any = None
    tutelage: Any = None


def models(up: FaultyUpstream, retries: int) -> dict[str, Any]:
    """A teacher with the fault, and a fallback where the fault is about two servers."""
    timeouts = {"connect": 1, "first_byte": 0.6, "total": 3}
    teacher: dict[str, Any] = {"upstream": up.base_url, "model": "m", "timeout_s": timeouts}
    teacher |= {"retries": retries, "price": _plain(PRICES["teacher"])}
    named: dict[str, Any] = {"teacher": teacher}
    if up.fallback is not None:
        named["teacher"]["fallbacks"] = ["teacher-b"]
        price = _plain(PRICES["teacher-b"])
        named["teacher-b"] = {"upstream": up.fallback.base_url, "model": "b", "price": price}
    return {"models": named}


def _plain(price: dict[str, Decimal]) -> dict[str, float]:
    return {name: float(value) for name, value in price.items()}


@asynccontextmanager
async def faulty(
    folder: Path, fault: str, *, retries: int = 2, **more: Any
) -> AsyncIterator[tuple[FaultyUpstream, str]]:
    async with (
        FaultyUpstream(fault, scale=SCALE, **more) as up,
        gateway(folder, up.base_url, **models(up, retries)) as base,
    ):
        yield up, base


async def ask(base: str, *, stream: bool) -> Seen:
    """One question, as an application asks it, without retries of its own."""
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if stream else {}
    said: list[str] = []
    tutelage = None
    headers: Any = None
    try:
        raw = await client(base).chat.completions.with_raw_response.create(
            model="auto", messages=MESSAGES, stream=stream, **options
        )
        headers = raw.headers
        answer = raw.parse()
        if not stream:
            return Seen(words=len(answer.choices[0].message.content.split()), headers=headers)
        async for chunk in answer:
            said += [c.delta.content for c in chunk.choices if c.delta.content]
            tutelage = (chunk.model_extra or {}).get("tutelage", tutelage)
    except openai.APIStatusError as error:
        code, head = error.status_code, error.response.headers
        return Seen(words=len(said), status=code, error=error.message, headers=head)
    except openai.APIError as error:
        return Seen(words=len(said), error=error.message, headers=headers, tutelage=tutelage)
    return Seen(words=len(said), headers=headers, tutelage=tutelage)


def usd(bill: Bill, model: str) -> Decimal:
    price = PRICES[model]
    tokens = bill.prompt_tokens * price["input"] + bill.completion_tokens * price["output"]
    return tokens / 1_000_000


def check_bills(up: FaultyUpstream, row: Interaction) -> None:
    """Every try stands in the record once, with what the upstream that was asked would bill, or as
    unknown where the upstream never told; nothing that was billed is ever taken for free."""
    ledgers = {"teacher": up.ledger, "teacher-b": up.fallback.ledger if up.fallback else []}
    for model, ledger in ledgers.items():
        tries = [attempt for attempt in row.attempts if attempt.model == model]
        assert len(tries) == len(ledger), model
        for attempt, bill in zip(tries, ledger, strict=True):
            _check_bill(attempt, bill, model)
    known = [attempt.cost_usd for attempt in row.attempts if attempt.cost_usd is not None]
    whole = sum(known, Decimal(0)) if len(known) == len(row.attempts) else None
    assert row.cost_usd == whole


def _check_bill(attempt: Attempt, bill: Bill, model: str) -> None:
    if attempt.cost_usd is None:
        assert attempt.usage is None
        assert not bill.told or attempt.error is not None
        return
    assert attempt.cost_usd == usd(bill, model)
    if attempt.basis == "refused":
        assert attempt.cost_usd == 0
        return
    assert attempt.usage is not None
    assert attempt.usage.prompt_tokens == bill.prompt_tokens
    assert attempt.usage.completion_tokens == bill.completion_tokens


@dataclass(frozen=True, kw_only=True)
class Expected:
    """``status``: of an error before the first byte; ``breaks``: the stream ends in an error;
    ``whole``: what a client that doesn't stream sees instead; ``tries``: of all models;
    ``known``: the cost is."""

    status: int | None = None
    breaks: bool = False
    whole: int | None = None
    tries: int = 1
    known: bool = True
    retry_after: str | None = None
    model: str = "teacher"


EXPECTED = {
    "429_short": Expected(tries=2),
    "429_long": Expected(status=429, retry_after="3600"),
    "429_persistent": Expected(status=429, tries=3, retry_after="0"),
    "500_once": Expected(tries=2),
    "503": Expected(status=503, tries=3),
    "reset_before_headers": Expected(tries=2),
    "reset_after_headers": Expected(breaks=True, whole=502, known=False),
    "silence": Expected(status=504, known=False),
    "slow_first_byte": Expected(),
    "stream_cut": Expected(breaks=True, whole=502, known=False),
    "stream_stalled": Expected(breaks=True, whole=504, known=False),
    "malformed_chunk": Expected(breaks=True, whole=502, known=False),
    "missing_done": Expected(),
    "context_length": Expected(status=400),
    "content_filter": Expected(status=400),
    "fallback_rejects": Expected(status=503, tries=4),
    "failover": Expected(tries=4, model="teacher-b"),
}


def test_every_fault_is_expected_here_or_has_a_test_of_its_own() -> None:
    assert EXPECTED.keys() == FAULTS.keys() - {"flapping"}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", EXPECTED)
async def test_a_fault(tmp_path: Path, fault: str, stream: bool) -> None:
    expected = EXPECTED[fault]
    async with faulty(tmp_path, fault) as (up, base):
        seen = await ask(base, stream=stream)
        (row,) = await settled(tmp_path)
    status = expected.status if stream or not expected.breaks else expected.whole
    assert seen.status == status
    if status is not None:
        assert (seen.words, row.status) == (0, "error")
        assert seen.headers.get("retry-after") == expected.retry_after
    elif expected.breaks:
        assert (seen.words, row.status) == (39, "broken")
        assert "broke off" in str(seen.error)
        assert row.teacher_answer is None
    else:
        assert (seen.words, seen.error, row.status) == (WORDS, None, "ok")
        assert seen.headers["x-tutelage-model"] == row.model == expected.model
    assert len(row.attempts) == expected.tries
    assert seen.headers["x-tutelage-attempts"] == str(expected.tries)
    assert (row.cost_usd is not None) == expected.known
    check_bills(up, row)


@pytest.mark.parametrize(
    ("fault", "known"),
    [
        ("stream_cut", True),
        ("stream_stalled", True),
        ("reset_after_headers", True),
        ("malformed_chunk", False),  # the server goes on, and bills what nobody reads
    ],
)
async def test_what_a_broken_stream_had_told_is_billed(
    tmp_path: Path, fault: str, known: bool
) -> None:
    """Servers that tell the usage with every chunk are believed to the last one that came."""
    async with faulty(tmp_path, fault, running_usage=True) as (up, base):
        seen = await ask(base, stream=True)
        (row,) = await settled(tmp_path)
    assert (seen.words, row.status) == (39, "broken")
    told = usd(Bill(prompt_tokens=40, completion_tokens=39), "teacher")
    assert row.cost_usd == (told if known else None)
    check_bills(up, row)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_minute_of_flapping(tmp_path: Path, stream: bool) -> None:
    """Nobody sees it; without retries, which in a scaled minute would outlast each of its turns."""
    async with faulty(tmp_path, "flapping", retries=0) as (up, base):
        begun_s = time.monotonic()
        seen: list[Seen] = []
        # On a busy machine a minute may hold too few requests for both to have been met.
        while (lasted_s := time.monotonic() - begun_s) < 60 * SCALE or (
            lasted_s < 30 and len({one.headers["x-tutelage-model"] for one in seen}) < 2
        ):
            seen.append(await ask(base, stream=stream))
        rows = await settled(tmp_path, min(len(seen), 10))
    assert {(one.words, one.error) for one in seen} == {(WORDS, None)}
    assert up.fallback is not None
    assert len(up.fallback.ledger) + sum(bill.told for bill in up.ledger) == len(seen)
    assert {one.headers["x-tutelage-model"] for one in seen} == {"teacher", "teacher-b"}
    assert all(row.cost_usd is not None for row in rows)


async def test_a_failed_over_stream_says_who_answered_and_what_it_cost(tmp_path: Path) -> None:
    async with faulty(tmp_path, "failover") as (_, base):
        seen = await ask(base, stream=True)
        (row,) = await settled(tmp_path)
    assert (seen.tutelage["model"], seen.tutelage["attempts"]) == ("teacher-b", 4)
    assert Decimal(str(seen.tutelage["cost_usd"])) == row.cost_usd
    assert (row.teacher_answer, row.seen) == (None, False)  # nobody learns from it as the teacher's
    assert row.teacher_cost_usd is None
