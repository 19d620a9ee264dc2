"""Places are given in turn, and none is lost."""

from __future__ import annotations

import asyncio

import pytest

from router.admission import Admission, Overloaded


async def test_places_are_given_in_the_order_in_which_they_were_asked_for() -> None:
    admission = Admission(max_in_flight=1, max_waiting=2)
    await admission.enter()
    got: list[str] = []

    async def take(name: str) -> None:
        await admission.enter()
        got.append(name)
        admission.leave()

    waiting = [asyncio.create_task(take(name)) for name in ("a", "b")]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await admission.enter()
    admission.leave()
    await asyncio.gather(*waiting)
    assert (got, admission.in_flight, admission.waiting) == (["a", "b"], 0, 0)


async def test_who_gives_up_leaves_no_trace() -> None:
    admission = Admission(max_in_flight=1, max_waiting=2, max_wait_s=0.01)
    await admission.enter()
    with pytest.raises(Overloaded):
        await admission.enter()
    left = asyncio.create_task(admission.enter())
    given = asyncio.create_task(admission.enter())
    await asyncio.sleep(0)
    left.cancel()
    admission.leave()  # before the one that left has run: the place must go on
    await asyncio.gather(left, given, return_exceptions=True)
    assert (admission.in_flight, admission.waiting) == (1, 0)
    admission.leave()
    assert admission.in_flight == 0


async def test_more_room_is_used_at_once() -> None:
    admission = Admission(max_in_flight=1)
    await admission.enter()
    waiting = asyncio.create_task(admission.enter())
    await asyncio.sleep(0)
    admission.resize(max_in_flight=2, max_waiting=0, max_wait_s=1)
    await waiting
    assert (admission.in_flight, admission.waiting) == (2, 0)
