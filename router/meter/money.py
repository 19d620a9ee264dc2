"""USD as ``Decimal`` with 12 places, and how it is stored and shown.

A token of a cheap model costs about 1e-8 USD, so anything coarser would lose money by rounding.
The store keeps whole pico-dollars (1e-12 USD) as integers: sums in SQL are then exact.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from sqlalchemy import BigInteger
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

PLACES = 12
PICO_USD = Decimal(1).scaleb(-PLACES)
LARGEST_USD = Decimal(2**63 - 1).scaleb(-PLACES)
"""Largest amount, and largest sum, that a 64-bit integer of pico-dollars holds: 9.2 million USD."""

WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
"""Wide enough for ``LARGEST_USD`` at 12 places, whatever the caller's context is."""


def usd(amount: Decimal | int | float | str) -> Decimal:
    """``amount`` in USD, rounded half to even at 12 places.

    A float counts as its shortest decimal form, so 0.1 is ten cents and not 0.1000…0055.
    Raises ValueError for what isn't a finite number of at most ``LARGEST_USD`` either way.
    """
    if isinstance(amount, bool):
        raise ValueError("a truth value is no amount of money")
    try:
        exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    except ArithmeticError:
        raise ValueError(f"{amount!r} is no amount of money") from None
    if not exact.is_finite() or exact.copy_abs() > LARGEST_USD:
        raise ValueError(f"{amount!r} is no amount of money between ±{LARGEST_USD} USD")
    return exact.quantize(PICO_USD, context=WIDE)


def show_usd(amount: Decimal | None) -> str:
    """For people: cents from one dollar up, three significant digits below; None is "unknown"."""
    if amount is None:
        return "unknown"
    sign = "-" if amount < 0 else ""
    size = abs(amount)
    if size == 0:
        return "$0.00"
    if size >= Decimal("0.995"):
        return f"{sign}${size:,.2f}"
    digits = max(2 - size.adjusted(), 4)
    text = f"{size:.{min(digits, PLACES)}f}"
    return f"{sign}${text}"


def plain_usd(amount: Decimal) -> str:
    """For machines: every place that isn't a trailing zero, never an exponent ("0.0000125")."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


class PicoUSD(TypeDecorator[Decimal]):
    """A column of USD, stored as whole pico-dollars; ``func.sum`` over it is exact.

    Takes non-negative Decimals only: a negative cost is a mistake somewhere else, and a float
    has already lost what this type keeps. Both raise, ValueError and TypeError.
    """

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if not isinstance(value, Decimal):
            raise TypeError(f"money is stored from Decimal, not from {type(value).__name__}")
        if value < 0:
            raise ValueError(f"a cost can't be negative: {value}")
        return int(usd(value).scaleb(PLACES, context=WIDE))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        return None if value is None else Decimal(int(value)).scaleb(-PLACES, context=WIDE)
