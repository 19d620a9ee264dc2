"""Comparing answers that are one number and nothing else."""

from __future__ import annotations

import re

from policies.compare.base import KeyComparer
from policies.compare.decimals import canonical_decimal
from policies.types import Answer, Shape

_CURRENCY = (
    "[$€£¥₹₩₽₺₴₪฿₫]|AED|ARS|AUD|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|"
    "MXN|MYR|NOK|NZD|PHP|PLN|RON|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
)
_GAP = "[ \u00a0\u202f]?"  # a space, or one that does not break the line

# The comma separates thousands and nothing else, the point decimals and nothing else. What could
# also be read otherwise (1,5; 0,123; 1.234.567; 007; 1 000) is no number here.
_NUMBER = re.compile(
    rf"""
    (?P<sign>[-+−]?)
    (?:(?P<before>{_CURRENCY}){_GAP})?
    (?P<inner_sign>[-+−]?)
    (?P<digits>(?:0|[1-9][0-9]*|[1-9][0-9]{{0,2}}(?:,[0-9]{{3}})+)(?:\.[0-9]+)?|\.[0-9]+)
    (?P<exponent>(?:[eE][-+]?[0-9]+)?)
    (?:{_GAP}(?P<after>%|{_CURRENCY}))?
    """,
    re.VERBOSE,
)


class NumberComparer(KeyComparer):
    """The same value in the same unit: 1,000 is 1000 and 1.0 is 1, but 12% is not 12.

    The answer must be the number, at most with a currency or a percent sign: none is looked for
    in a sentence. Units are compared as they are written: $5 is not 5 USD. What is not one number
    has no key.
    """

    name = "number"

    def answer_key(self, answer: Answer, shape: Shape) -> str | None:
        match = _NUMBER.fullmatch((answer.content or "").strip())
        if match is None or answer.tool_calls:
            return None
        if match["before"] and match["after"]:
            return None
        sign = (match["sign"] + match["inner_sign"]).replace("−", "-")
        digits = match["digits"].replace(",", "")
        value = canonical_decimal(sign + digits + match["exponent"])  # None also for two signs
        unit = match["before"] or match["after"]
        if value is None:
            return None
        return f"number:{value} {unit}" if unit else f"number:{value}"
