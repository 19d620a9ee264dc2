from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, func, insert, select
from sqlalchemy.exc import StatementError

from router.meter.money import LARGEST_USD, PicoUSD, plain_usd, show_usd, usd

amounts = st.decimals(min_value=0, max_value=1000, places=12, allow_nan=False)


@pytest.mark.parametrize(
    ("given_amount", "expected"),
    [
        ("0.1", "0.100000000000"),
        (0.1, "0.100000000000"),
        (3, "3.000000000000"),
        ("0.0000000000005", "0.000000000000"),
        ("0.0000000000015", "0.000000000002"),
        (Decimal("1E-12"), "0.000000000001"),
        ("-2.5", "-2.500000000000"),
    ],
)
def test_usd_has_twelve_places_rounded_half_to_even(
    given_amount: Decimal | int | float | str, expected: str
) -> None:
    assert f"{usd(given_amount):f}" == expected


@pytest.mark.parametrize("bad", ["", "abc", "NaN", "Infinity", float("inf"), "1e30", True])
def test_usd_refuses_what_is_no_amount(bad: float | str) -> None:
    with pytest.raises(ValueError, match="no amount of money"):
        usd(bad)


def test_usd_does_not_depend_on_the_callers_context() -> None:
    with localcontext(prec=3):
        assert usd("1234567.123456789012") == Decimal("1234567.123456789012")


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        ("0", "$0.00"),
        ("0.000000000001", "$0.000000000001"),
        ("0.0000123456", "$0.0000123"),
        ("0.0123456", "$0.0123"),
        ("0.5", "$0.5000"),
        ("0.9999", "$1.00"),
        ("1234.5", "$1,234.50"),
        ("-0.25", "-$0.2500"),
    ],
)
def test_show_usd(amount: str | None, shown: str) -> None:
    assert show_usd(None if amount is None else Decimal(amount)) == shown


@pytest.mark.parametrize(
    ("amount", "plain"),
    [("0.000012500000", "0.0000125"), ("1E-12", "0.000000000001"), ("100", "100"), ("0E-12", "0")],
)
def test_plain_usd_has_no_exponent_and_no_trailing_zeros(amount: str, plain: str) -> None:
    assert plain_usd(Decimal(amount)) == plain


@pytest.fixture(scope="module")
def costs() -> Table:
    return Table("costs", MetaData(), Column("n", Integer), Column("usd", PicoUSD))


def _sum_in_sql(costs: Table, values: list[Decimal | None]) -> Decimal | None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        costs.metadata.create_all(connection)
        rows = [{"n": n, "usd": value} for n, value in enumerate(values)]
        connection.execute(insert(costs), rows)
        total: Decimal | None = connection.scalar(select(func.sum(costs.c.usd)))
        kept = connection.scalars(select(costs.c.usd).order_by(costs.c.n)).all()
    engine.dispose()
    assert list(kept) == values
    return total


@given(values=st.lists(amounts, min_size=1, max_size=30))
def test_sums_in_sql_are_exact(costs: Table, values: list[Decimal]) -> None:
    assert _sum_in_sql(costs, list(values)) == sum(values)


def test_a_sum_that_floats_get_wrong(costs: Table) -> None:
    values = [Decimal("1000000"), *[Decimal("0.000000000001")] * 3]
    assert sum(float(v) for v in values) == 1_000_000
    assert _sum_in_sql(costs, list(values)) == Decimal("1000000.000000000003")


def test_unknown_costs_are_kept_apart_from_zero(costs: Table) -> None:
    assert _sum_in_sql(costs, [None, None]) is None
    assert _sum_in_sql(costs, [None, Decimal(0)]) == 0


@pytest.mark.parametrize("bad", [0.5, 1, "1.0", Decimal("-0.01"), LARGEST_USD + 1])
def test_column_refuses_floats_and_negative_costs(costs: Table, bad: object) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        costs.metadata.create_all(connection)
        with pytest.raises(StatementError, match=r"money|negative"):
            connection.execute(insert(costs), {"n": 1, "usd": bad})
    engine.dispose()
