"""A second try elsewhere while the first one is slow: whoever answers first is heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from router.upstream.model import AttemptLog, CallError

_Answer = TypeVar("_Answer")

Leg = Callable[[list[AttemptLog]], Awaitable[_Answer]]
"""Asks, and adds each of its tries that ends without an answer to the list."""


async def ask_hedged(
    first: Leg[_Answer],
    second: Leg[_Answer],
    *,
    after_s: float,
    may_hedge: Callable[[], bool],
    drop: Callable[[_Answer], Awaitable[tuple[AttemptLog, ...]]],
    tries: list[AttemptLog],
) -> tuple[_Answer, tuple[AttemptLog, ...]]:
    """The answer of ``first``, or of ``second``, which is asked once the first has failed, or after
    ``after_s`` where ``may_hedge`` lets it; and the tries of the other, which is cancelled.

    An error about the request itself is the first one's to raise, and so is the error where both
    fail. ``drop``: let go of an answer that came too late, and say what it took. ``tries`` is given
    all of them where there is no answer.
    """
    noted: tuple[list[AttemptLog], list[AttemptLog]] = ([], [])
    legs: list[asyncio.Future[_Answer]] = [asyncio.ensure_future(first(noted[0]))]
    chosen: asyncio.Future[_Answer] | None = None
    lost: list[AttemptLog] = []
    try:
        await asyncio.wait(legs, timeout=after_s)
        if not legs[0].done() and not may_hedge():
            await asyncio.wait(legs)
        if not _decides(legs[0], first=True):
            legs.append(asyncio.ensure_future(second(noted[1])))
        chosen = await _wait_for_one(legs)
    finally:
        for leg, known in zip(legs, noted, strict=False):
            if leg is not chosen:
                lost += await _end(leg, drop) or known
        if chosen is None or chosen.exception() is not None:
            tries += lost if chosen is None else [*lost, *noted[legs.index(chosen)]]
    error = chosen.exception()
    if isinstance(error, CallError):
        error.attempts = (*lost, *error.attempts)
    return chosen.result(), tuple(lost)


def _decides(leg: asyncio.Future[_Answer], *, first: bool) -> bool:
    """It has an answer; of the first leg also an error that another model can't better."""
    if not leg.done():
        return False
    error = leg.exception()
    if error is None:
        return True
    return first and not (isinstance(error, CallError) and error.falls_over)


async def _wait_for_one(legs: list[asyncio.Future[_Answer]]) -> asyncio.Future[_Answer]:
    while True:
        for leg in legs:
            if _decides(leg, first=leg is legs[0]):
                return leg
        pending = [leg for leg in legs if not leg.done()]
        if not pending:
            return legs[0]
        await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)


async def _end(
    leg: asyncio.Future[_Answer], drop: Callable[[_Answer], Awaitable[tuple[AttemptLog, ...]]]
) -> tuple[AttemptLog, ...]:
    """Cancel what nobody waits for any more; all its tries where its answer had come."""
    leg.cancel()
    await asyncio.gather(leg, return_exceptions=True)
    if leg.cancelled() or leg.exception() is not None:
        return ()
    return await drop(leg.result())
