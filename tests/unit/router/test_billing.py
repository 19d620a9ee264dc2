"""What a try costs, and on what that rests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from router.billing import bill_tries, count_tokens_at_most, hold_for, sum_costs
from router.meter.prices import Rates, Usage
from router.upstream.model import AttemptLog

PRICE = Rates(input=Decimal("2.5"), output=Decimal(10))
PER_REQUEST = Rates(usd_per_request=Decimal("0.01"))
USAGE = Usage(prompt_tokens=12, completion_tokens=3)
HELD = Decimal("0.05")


def log(**more: Any) -> AttemptLog:
    return AttemptLog(started_at=0.0, latency_ms=1.0, **more)


@pytest.mark.parametrize(
    ("one", "usage", "price", "basis", "cost", "held"),
    [
        (log(status=200), USAGE, PRICE, "answer", Decimal("0.00006"), None),
        (log(status=200), None, PER_REQUEST, "answer", Decimal("0.01"), None),
        (log(status=200), USAGE, None, "unpriced", None, None),
        (log(status=200), None, PRICE, "unknown", None, HELD),
        (
            log(status=503, error="answered 503", billing="nothing"),
            None,
            PRICE,
            "refused",
            Decimal(0),
            None,
        ),
        (log(error="refused", billing="nothing"), None, PRICE, "refused", Decimal(0), None),
        (log(error="reset", billing="unknown"), None, PRICE, "unknown", None, HELD),
        (log(error="reset", billing="unknown"), None, PER_REQUEST, "unknown", None, HELD),
        (log(status=200, error="cut", first_byte_ms=1.0), None, PRICE, "unknown", None, HELD),
        (
            log(status=200, error="not JSON", billing="unknown"),
            None,
            PER_REQUEST,
            "unknown",
            None,
            HELD,
        ),
        (
            *(log(status=200, error="left", first_byte_ms=1.0), None, PER_REQUEST),
            *("answer", Decimal("0.01"), None),
        ),
    ],
)
def test_each_kind_of_try(
    one: AttemptLog,
    usage: Usage | None,
    price: Rates | None,
    basis: str,
    cost: Decimal | None,
    held: Decimal | None,
) -> None:
    (bill,) = bill_tries([one], usage, [price], lambda _: HELD)
    assert (bill.basis, bill.cost_usd, bill.held_usd) == (basis, cost, held)


def test_usage_belongs_to_the_last_try() -> None:
    bills = bill_tries(
        [log(status=429, billing="nothing"), log(status=200)], USAGE, [PRICE] * 2, lambda _: HELD
    )
    assert [bill.basis for bill in bills] == ["refused", "answer"]
    assert sum_costs([bill.cost_usd for bill in bills]) == Decimal("0.00006")


def test_one_unknown_cost_makes_the_sum_unknown() -> None:
    assert sum_costs([Decimal(1), None]) is None
    assert sum_costs([]) == 0


def test_a_hold_covers_what_the_request_allows() -> None:
    assert count_tokens_at_most({"max_tokens": 100, "n": 2}) == 200
    assert count_tokens_at_most({}) == 4096
    assert hold_for(200, 998, PRICE) == Decimal("0.00325")
    assert hold_for(4096, 998, PRICE) == Decimal("0.04221")
    assert hold_for(4096, 998, None) is None
