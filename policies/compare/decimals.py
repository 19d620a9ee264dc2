"""Numbers as exact values."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation


def canonical_decimal(literal: str) -> str | None:
    """Write a decimal literal so that equal values, and only they, are written alike.

    ``1.50`` and ``15e-1`` become ``15e-1``; zero has no sign. No digit is rounded away. None where
    the literal is no finite number, or its exponent is beyond what ``Decimal`` holds.
    """
    try:
        sign, digits, exponent = Decimal(literal).as_tuple()
    except InvalidOperation:
        return None
    if not isinstance(exponent, int):
        return None
    written = "".join(map(str, digits))
    significant = written.rstrip("0")
    if not significant:
        return "0"
    exponent += len(written) - len(significant)
    return ("-" if sign else "") + significant + (f"e{exponent}" if exponent else "")
