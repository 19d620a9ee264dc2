"""The number comparer reads one number strictly, or none."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.compare import get_comparer
from policies.types import Answer, Shape

NUMBER = get_comparer("number")


def key(text: str) -> str | None:
    return NUMBER.key(Answer(content=text), Shape())


def agrees(left: str, right: str) -> bool:
    return NUMBER.agrees(Answer(content=left), Answer(content=right), Shape())


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("42", " 42\n"),
        ("1,000", "1000"),
        ("1,234,567.50", "1234567.5"),
        ("1.0", "1"),
        ("1.50", "1.5"),
        ("+5", "5"),
        ("−5", "-5"),
        ("-0.0", "0"),
        (".5", "0.5"),
        ("1e3", "1000"),
        ("15E-1", "1.5"),
        ("12%", "12 %"),
        ("12.0%", "12%"),
        ("$5", "$5.00"),
        ("$1,000", "$ 1000"),
        ("-$5", "$-5"),
        ("€5", "5\u00a0€"),
        ("EUR 5", "5 EUR"),
        ("0.1", "0.1000000000000000000000000000000000000"),
    ],
)
def test_the_same_value(left: str, right: str) -> None:
    assert agrees(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "-1"),
        ("1", "10"),
        ("1.0", "10"),
        ("12%", "12"),
        ("12%", "0.12"),
        ("$5", "5"),
        ("$5", "5 EUR"),
        ("$5", "5 USD"),
        ("$5", "€5"),
        ("5 EUR", "5 CHF"),
        ("0.1", "0.1000000000000000055511151231257827"),
        ("9007199254740993", "9007199254740992"),
        ("1" * 60, "1" * 59 + "2"),
        ("1e400", "1e401"),
    ],
)
def test_another_value_or_unit(left: str, right: str) -> None:
    assert agrees(left, left)
    assert agrees(right, right)
    assert not agrees(left, right)


@pytest.mark.parametrize(
    "text",
    [
        "1,5",
        "0,123",
        "1,00",
        "1,0000",
        "10,00,000",
        "1000,000",
        "1.234.567",
        "1.000,5",
        "1 000",
        "1_000",
        "1'000",
        "007",
        "00",
        "42.",
        "5-",
        "--5",
        "-$-5",
        "+-5",
        "(5)",
        "$5%",
        "$5 USD",
        "US$5",
        "5 eur",
        "5 kg",
        "NOT 5",
        "5k",
        "5 million",
        "½",
        "10²",
        "４２",
        "٤٢",
        "0x10",
        "1e",
        "e3",
        "1e9999999999999999999",
        "0e9999999999999999999",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "∞",
        "1/2",
        "1+1",
        "1-2",
        "1 2",
        "1\n2",
        "about 42",
        "The answer is 42",
        "#### 42",
        "ans = 42",
        "42 (or 43)",
        '"42"',
        "`42`",
        "four",
        ".",
        "-",
        "$",
        "%",
    ],
)
def test_what_is_not_one_number_agrees_with_nothing(text: str) -> None:
    assert key(text) is None
    assert not agrees(text, text)


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 30))
def test_zeros_at_the_end_do_not_count(value: Decimal, zeros: int) -> None:
    plain = f"{value:f}"
    padded = (plain if "." in plain else f"{plain}.") + "0" * zeros
    assert key(plain) is not None
    if padded[-1] != ".":
        assert agrees(plain, padded)


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False, places=4), st.decimals(places=4))
def test_plain_numbers_agree_exactly_where_they_are_equal(left: Decimal, right: Decimal) -> None:
    if right.is_finite():
        assert agrees(f"{left:f}", f"{right:f}") == (left == right)
    else:
        assert key(str(right)) is None


def test_the_precision_in_force_does_not_matter() -> None:
    with localcontext() as context:
        context.prec = 3
        assert not agrees("123456", "123457")
        context.traps = dict.fromkeys(context.traps, False)
        assert key("1e9999999999999999999") is None
